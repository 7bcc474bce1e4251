"""Numba's kernels run where their files on disk can be neither written nor read."""

import errno
import os
import pickle

import numpy as np
import pytest

from autocnn.fast import compiling

numba = pytest.importorskip("numba")
caching = pytest.importorskip("numba.core.caching")
disk = pytest.importorskip("autocnn.fast.kernels.numba.cache")


def fresh():
    """A kernel that nobody has compiled yet; its source is this file, so that Numba finds a
    place for its cache.
    """

    @numba.njit(cache=True)
    def double(a):
        return 2 * a

    return double


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def test_a_kernel_whose_compilation_was_interrupted(folder, monkeypatch):
    def incomplete(*args):
        raise RuntimeError("no compiled object yet for <Library 'double'>")

    monkeypatch.setattr(caching.CompileResultCacheImpl, "reduce", incomplete)
    kernel = disk.spared(fresh())
    assert kernel(3) == 6


def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk(folder, monkeypatch):
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    plain, spared = fresh(), fresh()
    disk.spared(spared)
    with pytest.raises(OSError, match="No space left"):
        plain(np.ones(3))
    assert spared(np.ones(3)).tolist() == [2, 2, 2]
    assert spared(np.ones(3, np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "Permission denied"), EOFError(), pickle.UnpicklingError("damaged")],
)
def test_files_that_cannot_be_read(error, folder, monkeypatch):
    def fail(*args):
        raise error

    monkeypatch.setattr(caching.IndexDataCacheFile, "load", fail)
    kernel = fresh()
    disk.spared(kernel)
    assert kernel(3) == 6


def test_a_cache_that_works_is_used(folder):
    kernel = fresh()
    disk.spared(kernel)
    kernel(3)
    assert list(folder.rglob("*.nbi")) and sum(kernel.stats.cache_misses.values()) == 1
    again = fresh()
    disk.spared(again)
    again(3)
    assert sum(again.stats.cache_hits.values()) == 1


def test_whoever_asks_is_told_of_compiling_once(folder):
    told = []
    with compiling.on_compile(lambda: told.append("outer")):
        with compiling.on_compile(lambda: told.append("inner")):
            fresh()(3)
            fresh()(np.ones(3))
        assert told == ["inner"]
        disk.spared(fresh())(3)  # from disk
        disk.callback(constant, numba.void(numba.float64))
        disk.callback(constant, numba.void(numba.float64))
    assert told == ["inner", "outer"]
    with compiling.on_compile(lambda: told.append("never")):
        fresh()(3)
        disk.callback(constant, numba.void(numba.float64))
    fresh()(3j)
    assert told == ["inner", "outer"]


def constant(x):
    """Stands for a kernel."""


def test_every_kernel_is_spared():
    from autocnn.fast.kernels.numba.parallel import jit

    assert all(
        hasattr(getattr(jit(full)._cache, name), "__wrapped__")
        for name in ("load_overload", "save_overload")
    )


def test_what_has_no_cache_is_left_alone():
    assert disk.spared(full) is full


def test_nothing_is_kept_that_is_older_than_a_source(tmp_path):
    (tmp_path / "__pycache__").mkdir()
    for age, name in (
        (30, "a.py"),
        (10, "b.py"),
        (20, "__pycache__/a.f-1.nbi"),
        (5, "__pycache__/b.g-1.nbi"),
    ):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    disk.forget_older(tmp_path)
    assert [path.name for path in (tmp_path / "__pycache__").iterdir()] == ["b.g-1.nbi"]
    disk.forget_older(tmp_path / "nowhere")
