"""Hostile input: mutated files and command lines, and what a patient attacker would try by hand."""

import json
import os
import stat

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from autocnn import checkpoint, files, models, runs
from autocnn.runs import RunConfig, recipes
from autocnn.sweeps.store import Store
from benchmarks.robustness import fuzz


@pytest.mark.parametrize("target, count", [("idx", 400), ("checkpoint", 400), ("cli", 40)])
def test_a_few_hundred_attacks(target, count):
    outcomes = fuzz.fuzz(target, count, seed=20)
    assert sum(outcomes.values()) == count
    assert all(
        outcomes[kind] > count / 40 for kind in (("read", "refused") if target != "cli" else (0, 2))
    )


def test_the_fuzzer_notices(monkeypatch):
    """A reader that trusts a size, one that fails otherwise, and a write outside of the folder."""
    monkeypatch.setattr(fuzz.idx, "read", lambda path, kind: np.ones(10_000_000))
    with pytest.raises(AssertionError, match="bytes of memory for a file of"):
        fuzz.fuzz("idx", 50, 0)
    monkeypatch.setattr(fuzz.checkpoint, "load", lambda path: {}["nothing"])
    with pytest.raises(KeyError) as caught:
        fuzz.fuzz("checkpoint", 50, 0)
    assert caught.value.__notes__ == ["attack 0 on checkpoint with seed 0"]


def test_the_fence_sees_writes(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    fence = fuzz.Fence(tmp_path / "in")
    fence.up = True
    (tmp_path / "in" / "a").write_text("")
    (tmp_path / "b").write_text("")
    (tmp_path / "in" / "link" / "c").write_text("")
    os.replace(tmp_path / "b", tmp_path / "d")
    (tmp_path / "d").read_text()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "compiled").write_text("")
    fence.up = False
    assert [event for event, _ in fence.crossed] == ["open", "open", "os.rename", "os.rename"]


# --- names, sizes and links that are no accident


def rewritten(path, change):
    """Change the header of a safetensors file, keeping its body."""
    content = path.read_bytes()
    n = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n])
    header = change(header) or header
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + content[8 + n :])


def described(about):
    return lambda header: (
        header
        | {"__metadata__": {"autocnn": about if isinstance(about, str) else json.dumps(about)}}
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    checkpoint.save(path, {"a": {"b": np.ones(1000)}})
    return path


@pytest.mark.parametrize(
    "about, words",
    [
        ("{", "damaged"),
        ("[" * 100_000, "damaged"),
        ('{"trees": ' + '{"list": [' * 50_000, "damaged"),
        ("[" * 5_000_000, "more than 4,194,304"),
        ([], "does not describe"),
        ({"trees": None, "metadata": {}}, "damaged"),
        ({"trees": {"dict": {}}, "metadata": {}}, "params and state"),
        ({"trees": {"dict": {"params": None, "state": {"dict": {}}}}, "metadata": {}}, "damaged"),
        (
            {"trees": {"dict": {"params": {"dict": [1]}, "state": {"dict": {}}}}, "metadata": {}},
            "not a dict, list or tuple",
        ),
        (
            {"trees": {"dict": {"params": {"set": []}, "state": {"dict": {}}}}, "metadata": {}},
            "not a dict, list or tuple",
        ),
        (
            {
                "trees": {"dict": {"params": {"dict": {"c": None}}, "state": {"dict": {}}}},
                "metadata": {},
            },
            "params.c",
        ),
        (
            {
                "trees": {"dict": {"params": {"dict": {"a.b": None}}, "state": {"dict": {}}}},
                "metadata": {},
            },
            "the key 'a.b'",
        ),
        (
            {
                "trees": {"dict": {"params": {"dict": {"": None}}, "state": {"dict": {}}}},
                "metadata": {},
            },
            "the key ''",
        ),
        (
            {"trees": {"dict": {"params": {"list": []}, "state": {"dict": {}}}}, "metadata": 3},
            "does not describe",
        ),
    ],
)
def test_structures_that_lie(about, words, file):
    rewritten(file, described(about))
    with pytest.raises(ValueError, match=words) as caught:
        checkpoint.load(file)
    assert str(file) in str(caught.value)


def test_no_tensor_is_read_twice(file):
    """Two ways to spell one path would turn a small file into any amount of memory."""
    twice = {"dict": {"a.b": None, "a": {"dict": {"b": None}}}}
    rewritten(
        file,
        described({"trees": {"dict": {"params": twice, "state": {"dict": {}}}}, "metadata": {}}),
    )
    with pytest.raises(ValueError, match=r"the key 'a\.b'"):
        checkpoint.load(file)


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**32, 2**63 - 1, 2**64 - 1])
def test_sizes_of_headers(size, file):
    content = file.read_bytes()
    file.write_bytes(size.to_bytes(8, "little") + content[8:])
    with pytest.raises(ValueError, match="not a safetensors file"):
        checkpoint.load(file)


@pytest.mark.parametrize(
    "name",
    ["../escaped", "/tmp/escaped", "a\0b", "params.0.w\n", "x" * 10_000, "..", "C:\\escaped"],
)
def test_names_of_tensors_name_no_files(name, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    checkpoint.save(inside / "ours", {name.replace(".", "·"): np.ones(2)})
    assert list(checkpoint.load(inside / "ours").params) == [name.replace(".", "·")]
    save_file({name: np.ones(2)}, inside / "theirs")
    with pytest.raises(ValueError, match="does not fit this network"):
        checkpoint.load_torch(inside / "theirs", models.alexnet(3, stem=1, towers=1), (3, 224, 224))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inside", "ours", "theirs"]


def test_links_are_replaced_and_never_written_through(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.write_text("precious")
    inside.mkdir()
    for name, write in {
        "a.png": lambda path: files.atomic_write(path, b"new"),
        "b.safetensors": lambda path: checkpoint.save(path, [np.ones(2)]),
    }.items():
        (inside / name).symlink_to(outside)
        write(inside / name)
        assert outside.read_text() == "precious"
        assert stat.S_ISREG((inside / name).lstat().st_mode)
    assert load_file(inside / "b.safetensors")["params.0"].tolist() == [1, 1]


def test_a_link_in_the_place_of_a_temporary_file(tmp_path, monkeypatch):
    """Whoever guesses the name of a temporary file cannot make the program write elsewhere."""
    outside = tmp_path / "outside"
    outside.write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda n: "guessed")
    for pattern in (".a.png.guessed.part", ".a.png.guessed.tmp"):
        (tmp_path / pattern).symlink_to(outside)
    with pytest.raises(OSError, match="File exists"):
        files.atomic_write(tmp_path / "a.png", b"new")
    assert outside.read_text() == "precious"


CONFIG = RunConfig(
    network="tiny-cnn",
    data="patterns",
    classes=("a", "b"),
    shape=(1, 8, 8),
    recipe=recipes.Recipe(),
    steps_per_epoch=1,
)
RECIPE = CONFIG.recipe._asdict()


@pytest.mark.parametrize("target", ["config", "history", "sweep", "image"])
def test_mutated_files_are_read_or_refused(target):
    outcomes = fuzz.fuzz(target, 60, 1)
    assert sum(outcomes.values()) == 60 and {*outcomes} <= {"read", "refused"}


def test_a_result_nested_too_deep_is_damage(tmp_path):
    deep = "[" * 5000 + "]" * 5000
    for lines in (deep, '{"sweep": {"a": 1}}\n' + deep):
        (tmp_path / "trials.jsonl").write_text(lines + "\n")
        with pytest.raises(ValueError, match=r"trials.jsonl"):
            Store(tmp_path / "trials.jsonl", {"a": 1})


def test_run_folders_may_be_links(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    runs.create(tmp_path / "link", CONFIG)
    assert runs.read_config(tmp_path / "real").replace(run=None) == CONFIG


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"width": "2"},
        {"width": True},
        {"width": 1e300},
        {"width": -1},
        {"classes": 3},
        {"classes": []},
        {"classes": [1, 2]},
        {"classes": "ab"},
        {"shape": [1, 8]},
        {"shape": [1, 8, -8]},
        {"shape": [1, 10**30, 8]},
        {"shape": "188"},
        {"inputs": {"pad": 1.5}},
        {"inputs": {"pad": -1}},
        {"inputs": {"padding": 1}},
        {"inputs": []},
        {"network": ["tiny-cnn"]},
        {"network": "../tiny-cnn"},
        {"recipe": {"epochs": "x"}},
        {"recipe": 3},
        {"recipe": {}},
        {"recipe": RECIPE | {"batch_size": "4"}},
        {"recipe": RECIPE | {"rate": "fast"}},
        {"recipe": RECIPE | {"flip": 1}},
        {"steps_per_epoch": 0},
        {"data": 3},
        {"limit": 0},
        {"seed": -1},
        {"seed": 1.0},
        {"dtype": 32},
        {"engine": None},
        {"loss": "mse"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(change, tmp_path):
    folder = runs.create(tmp_path / "run", CONFIG)
    (folder / "config.json").write_text(json.dumps(CONFIG.to_json() | (change or {})))
    _, params, state = models.tiny_cnn(2).init(0, (1, 8, 8))
    opt_state = recipes.optimizer(recipes.Recipe(), 1).init(params)
    where = {"step": 0, "loss": None, "history": {}}
    checkpoint.save(
        folder / "best.safetensors", params, {"network": state, "optimizer": opt_state}, where
    )
    if change is None:
        assert runs.load(folder).config == CONFIG
    else:
        with pytest.raises(ValueError, match=r"damaged|no network") as caught:
            runs.load(folder)
        assert str(folder) in str(caught.value)
