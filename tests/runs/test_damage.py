"""Run folders that were damaged or mixed: what is wrong is said, and the run goes on from what is
whole, to the bits of a run that nobody disturbed.
"""

import json
import pathlib
import random
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from autocnn import checkpoint, runs
from autocnn.checkpoint.format import DamagedError, is_sealed, seal
from autocnn.checkpoint.generations import drop, generations, shift
from tests.runs.conftest import CALL, autocnn, files, flip, verified


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", runs.FILES)
def test_a_flipped_bit_is_said_and_the_run_goes_on_to_the_same_bits(name, folders, tmp_path):
    draw, (part, whole) = random.Random(name), folders
    for i in range(4):
        folder = tmp_path / f"{i}"
        shutil.copytree(part, folder)
        flip(folder / name, draw.randrange(8 * (part / name).stat().st_size))
        assert name in verified(folder)
        result = autocnn("train", "--run", folder)
        assert result.exit_code == 0 and name in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert files(folder) == files(whole)
        assert verified(folder) == {}


def test_the_tensor_is_named(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "run")
    path = tmp_path / "run" / "last.safetensors"
    for i, name in enumerate(sorted(load_file(path))):
        content = bytearray((folders[0] / path.name).read_bytes())
        size = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:size])
        begin, end = header[name]["data_offsets"]
        content[size + begin + i % (end - begin)] ^= 1 << i % 8
        path.write_bytes(content)
        with pytest.raises(DamagedError, match=f"the tensor '{name}' does not") as caught:
            checkpoint.load(path)
        assert caught.value.tensors == (name,)
        assert verified(path.parent)[path.name]["tensors"] == [name]


@pytest.mark.parametrize("offset", range(0, 64, 5))
def test_every_bit_of_the_header_is_under_a_sum(tmp_path, offset):
    checkpoint.save(tmp_path / "a", {"w": np.ones(2)}, None, {"x": "0" * 64, "sha256": "1" * 64})
    size = 8 + int.from_bytes((tmp_path / "a").read_bytes()[:8], "little")
    before = (tmp_path / "a").read_bytes()
    for bit in range(offset, 8 * size, 64):
        flip(tmp_path / "a", bit)
        with pytest.raises(ValueError, match="damaged"):
            checkpoint.load(tmp_path / "a")
        (tmp_path / "a").write_bytes(before)
    assert checkpoint.load(tmp_path / "a").metadata == {"x": "0" * 64, "sha256": "1" * 64}


def test_other_readers_take_files_with_sums(tmp_path):
    torch = pytest.importorskip("safetensors.torch")
    tensors = {"w": np.arange(6.0).reshape(2, 3), "b": np.array(3, np.int8), "c": np.array([True])}
    checkpoint.save(tmp_path / "a", tensors)
    for found in (load_file(tmp_path / "a"), torch.load_file(tmp_path / "a")):
        assert found.keys() == {f"params.{name}" for name in tensors}
        for name, expected in tensors.items():
            np.testing.assert_array_equal(np.asarray(found[f"params.{name}"]), expected)


def test_a_file_without_sums_is_read_with_a_note(caplog):
    path = pathlib.Path(__file__).parents[1] / "data" / "checkpoint.safetensors"
    checkpoint.load(path)
    (line,) = caplog.messages
    assert line.startswith(f"{path} has no sums")
    run = path.parent / "runs" / "tiny-cnn-patterns"
    result = autocnn("evaluate", run)
    assert result.exit_code == 0 and result.stderr.startswith(f"autocnn: {run}")
    assert "has no sums" in result.stderr and len(result.stderr.splitlines()) == 1


def test_sealed_bytes():
    content = seal(b'{"sha256": "' + b"0" * 64 + b'", "x": 1}')
    assert is_sealed(content) and not is_sealed(content.replace(b"1}", b"2}"))
    assert not is_sealed(b"{}")


def test_an_epoch_that_moved_no_parameter_is_a_generation(tmp_path):
    path = tmp_path / "last.safetensors"
    for epoch in range(3):
        if epoch:
            shift(path)
        checkpoint.save(path, [np.ones(2)], metadata={"epoch": epoch})
    found = [checkpoint.load(p).metadata["epoch"] for p in generations(path)]
    assert found == [2, 1, 0]


@pytest.mark.parametrize("damaged", [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}])
def test_generations(tmp_path, damaged):
    paths = generations(tmp_path / "x.safetensors")
    for i in range(4):
        shift(paths[0])
        shift(paths[0])  # again, as after a kill: it changes nothing
        checkpoint.save(paths[0], [np.full(2, i)])
    values = [int(checkpoint.load(path).params[0][0]) for path in paths]
    assert [path.name for path in paths] == ["x.safetensors", "x-1.safetensors", "x-2.safetensors"]
    assert values == [3, 2, 1]
    drop(paths[0], [paths[i] for i in damaged])
    left = [v for i, v in enumerate(values) if i not in damaged]
    assert [int(checkpoint.load(path).params[0][0]) for path in paths if path.exists()] == left


def another(folder, tmp_path, monkeypatch, *options):
    """A run of the same network that is not the same run."""
    with monkeypatch.context() as patch:
        patch.setattr("autocnn.runs.config_file.new_identity", lambda: "f" * 32)
        call = [*CALL.split(), tmp_path / "other", "--until", 3, *options]
        assert autocnn(*call).exit_code == 0
    return tmp_path / "other"


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", ["last", "best", "last-1", "best-copy", "last-2"])
def test_a_checkpoint_of_another_run_is_not_used(folders, tmp_path, monkeypatch, name):
    folder, (part, whole) = tmp_path / "run", folders
    shutil.copytree(part, folder)
    other = another(folder, tmp_path, monkeypatch, "--seed", 1)
    shutil.copy(other / f"{name}.safetensors", folder)
    assert "belongs to the run ffffffff" in verified(folder)[f"{name}.safetensors"]["problem"]
    result = autocnn("train", "--run", folder)
    assert result.exit_code == 0 and "belongs to the run ffffffff" in result.stderr
    assert files(folder) == files(whole)


@pytest.mark.usefixtures("no_figures")
def test_a_config_of_another_run_is_not_used(folders, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(folders[0], folder)
    shutil.copy(another(folder, tmp_path, monkeypatch) / "config.json", folder)
    before = files(folder)
    with pytest.raises(ValueError, match="files of different runs are mixed"):
        runs.load(folder)
    assert isinstance(autocnn("train", "--run", folder).exception, ValueError)
    assert files(folder) == before


@pytest.mark.usefixtures("no_figures")
def test_a_best_that_is_newer_than_the_last_is_not_used(folders, tmp_path, caplog):
    part, whole = folders
    shutil.copytree(part, tmp_path / "run")
    for name in ("best", "best-copy"):
        shutil.copy(whole / "last.safetensors", tmp_path / "run" / f"{name}.safetensors")
    found = runs.load(tmp_path / "run", "best")
    assert found.epoch == 3 and "newer than the last state, of epoch 3" in caplog.text


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_best_that_is_missing_or_a_folder_is_said_at_once(folders, tmp_path, kind):
    folder = tmp_path / "run"
    shutil.copytree(folders[0], folder)
    for path in (folder / "best.safetensors", folder / "best-copy.safetensors"):
        path.unlink()
        if kind == "folder":
            path.mkdir()
    result = autocnn("evaluate", folder)
    assert result.exit_code == 0  # the last is the best
    result = autocnn("train", "--run", folder)
    if kind == "missing":
        assert result.exit_code == 0 and files(folder) == files(folders[1])
    else:
        assert result.exit_code == 1 and "epoch" not in result.stdout
        assert f"cannot write to {folder / 'best.safetensors'}" in result.stderr


def test_evaluating_without_the_best_says_what_is_used(folders, tmp_path, caplog):
    part, _ = folders
    shutil.copytree(part, tmp_path / "run")
    for path in (tmp_path / "run").glob("best*"):
        path.unlink()
    run = runs.load(tmp_path / "run")
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{tmp_path}/run/best.safetensors is missing; ")
    assert said.endswith(f", of epoch {run.epoch}, is used")
