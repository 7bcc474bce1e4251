"""Compiled kernels on disk: one file a kernel and signature, in the user's cache folder.

The folder is ``$NUMBA_CACHE_DIR/autocnn`` if that is set, else ``kernels`` in the user's cache
folder for autocnn ($XDG_CACHE_HOME/autocnn, ~/.cache/autocnn or the platform's equivalent). In it
is one folder for each combination of versions of Python, Numba, LLVM, NumPy and SciPy. An entry's
name is a hash of the kernel's code, its signature and the processor. So an upgrade of any of these
makes new entries, installations that agree in them share entries, and processes that compile at the
same time cannot disturb each other: an entry is written to a new file and renamed.
"""

import contextlib
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path

import llvmlite
import numba
import numpy
import scipy

from autocnn.data.find import cache_folder
from autocnn.files import atomic_write
from reference.warn import warn

__all__ = ["folder", "read", "write"]

UNUSED_DAYS = 30  # after which the folder of another version is deleted
_HASH_BYTES = 32


@lru_cache(maxsize=1)
def folder() -> Path | None:
    """Return the folder of these versions' entries; None, with one warning, if none can be made.

    It is looked for at the first compilation or use of a kernel, once in a process.
    """
    try:
        own = numba.config.CACHE_DIR
        root = Path(own) / "autocnn" if own else cache_folder() / "kernels"
        path = root / _version()
        fresh = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        _warn()
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # says that it is in use
        if fresh:
            _delete_unused(root)
    return path


def read(entry: str) -> bytes | None:
    """Return what ``write`` kept as ``entry``; None if there is no such entry, or a damaged one."""
    if folder() is None:
        return None
    try:
        data = (folder() / _file_name(entry)).read_bytes()
    except OSError:
        return None
    digest, content = data[:_HASH_BYTES], data[_HASH_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def write(entry: str, content: bytes) -> None:
    """Keep ``content`` as ``entry``. Warns, once in a process, if the disk does not take it."""
    if folder() is None:
        return
    try:
        atomic_write(folder() / _file_name(entry), hashlib.sha256(content).digest() + content)
    except OSError:
        _warn()


def _file_name(entry):
    """A readable beginning, and the hash that tells entries apart."""
    name = re.sub(r"\W+", "_", entry)[:40]
    return f"{name}-{hashlib.sha256(entry.encode()).hexdigest()[:24]}.kernel"


def _version():
    packages = (numba, llvmlite, numpy, scipy)
    versions = [sys.implementation.cache_tag, *(package.__version__ for package in packages)]
    return hashlib.sha256(repr(versions).encode()).hexdigest()[:24]


def _delete_unused(root):
    """Delete folders of other versions that no process has used for ``UNUSED_DAYS``."""
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for path in root.iterdir():
        if re.fullmatch("[0-9a-f]{24}", path.name) and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)


@lru_cache(maxsize=1)  # once in a process, whatever the error
def _warn():
    warn(
        "compiled kernels cannot be kept on disk, so each process spends 10 to 30 s on compiling "
        "its own: set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
    )
