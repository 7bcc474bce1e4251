"""Compiled kernels on disk: shared by processes, keyed by what they depend on, never required."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autocnn.fast import compiling

numba = pytest.importorskip("numba")
cache = pytest.importorskip("autocnn.fast.kernels.numba.cache")
compiler = pytest.importorskip("autocnn.fast.kernels.numba.compiler")


def fresh():
    """A function that this process has not compiled."""

    def double(a):
        return 2 * a

    return compiler.jit(double)


def no_op(x):
    """Stands for a kernel."""


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty cache, and this process's decisions about the real one forgotten meanwhile."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    cache.folder.cache_clear()
    cache._warn.cache_clear()
    yield tmp_path / "autocnn"
    cache.folder.cache_clear()
    cache._warn.cache_clear()


def compiles(call):
    """Return whether ``call()`` compiles something."""
    seen = []
    with compiling.on_compile(lambda: seen.append(1)):
        call()
    return bool(seen)


def test_a_kernel_is_compiled_once_for_all_processes():
    assert compiles(lambda: fresh()(3))
    assert not compiles(lambda: fresh()(3))
    assert compiles(lambda: fresh()(np.ones(3)))  # another signature
    assert not compiles(lambda: fresh()(np.ones(3)))
    assert fresh()(np.ones(3)).tolist() == [2, 2, 2]
    signature = numba.void(numba.float64)
    assert compiles(lambda: compiler.CompiledFunction(no_op, signature))
    assert not compiles(lambda: compiler.CompiledFunction(no_op, signature))


STEP = """
import sys, numpy as np
import autocnn as ac
from autocnn.fast import compiling
model = ac.fast.serial(ac.fast.conv(3, 2), ac.fast.relu(), ac.fast.flatten(), ac.fast.dense(2))
_, params, state = model.init(0, (2, 5, 5))
with compiling.on_compile(lambda: print("compiled", end=" ")):
    loss, _, _ = model.loss_and_grad(params, state, (np.ones((2, 2, 5, 5)), np.arange(2)))
print(repr(float(loss)))
"""


def step(**env):
    env = {k: v for k, v in (os.environ | env).items() if v is not None}
    done = subprocess.run([sys.executable, "-c", STEP], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


@pytest.mark.slow
def test_a_step_in_a_second_process_compiles_nothing(tmp_path):
    env = dict(AUTOCNN_KERNELS="numba", NUMBA_CACHE_DIR=None, XDG_CACHE_HOME=str(tmp_path))
    if sys.platform in ("win32", "darwin"):
        pytest.skip("XDG_CACHE_HOME is for Linux, or set on purpose")
    first, _ = step(**env)
    second, _ = step(**env)
    assert first == ["compiled", *second]
    entries = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert entries and all(
        path.is_relative_to(tmp_path / "autocnn" / "kernels") for path in entries
    )


def test_nothing_is_written_beside_the_package():
    package = Path(compiler.__file__).parents[3]
    before = {path for path in package.rglob("*") if path.suffix != ".pyc"}
    fresh()(3)
    compiler.CompiledFunction(no_op, numba.void(numba.float64))
    assert {path for path in package.rglob("*") if path.suffix != ".pyc"} == before


SOURCES = {
    "the same, described": ("def f(a):\n    'Doc.'\n\n    # why\n    return g(a) + N", "2 * a", 3),
    "another constant": ("def f(a):\n    return g(a) + N", "2 * a", 4),
    "another literal": ("def f(a):\n    return g(a) + N + 1", "2 * a", 3),
    "another operator": ("def f(a):\n    return g(a) - N", "2 * a", 3),
    "another callee": ("def f(a):\n    return g(a) + N", "3 * a", 3),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_fingerprint_depends_on_what_is_compiled(source):
    def kernel(f, g, n):
        names = {"N": n}
        exec(f"def g(a): return {g}", names)
        names["g"] = compiler.jit(names["g"])
        exec(f, names)
        return names["f"]

    before = compiler.fingerprint(kernel("def f(a):\n    return g(a) + N", "2 * a", 3))
    after = compiler.fingerprint(kernel(*SOURCES[source]))
    assert (before == after) == (source == "the same, described")


def test_a_kernel_that_reads_a_module_of_constants_is_refused():
    def kernel(a):
        return a + compiling.notify

    with pytest.raises(TypeError, match="import them by name"):
        compiler.fingerprint(kernel)


@pytest.mark.parametrize("package", ["numba", "llvmlite", "numpy", "scipy"])
def test_another_version_has_entries_of_its_own(package, monkeypatch, root):
    fresh()(3)
    monkeypatch.setattr(getattr(cache, package), "__version__", "99.0")
    cache.folder.cache_clear()
    assert compiles(lambda: fresh()(3))
    assert len(list(root.iterdir())) == 2


def test_another_processor_has_entries_of_its_own(monkeypatch):
    fresh()(3)
    codegen = type(numba.core.registry.cpu_target.target_context.codegen())
    monkeypatch.setattr(codegen, "magic_tuple", lambda self: ("triple", "other cpu", ""))
    assert compiles(lambda: fresh()(3))


def test_versions_that_nobody_uses_are_deleted(root):
    old, recent, others = root / ("a" * 24), root / ("b" * 24), root / "somebody else's"
    for path in (old, recent, others):
        path.mkdir(parents=True)
        (path / "file").write_text("")
    for path in (old, others):
        then = time.time() - (cache.UNUSED_DAYS + 1) * 24 * 3600
        os.utime(path, (then, then))
    fresh()(3)
    assert sorted(root.iterdir()) == sorted([cache.folder(), recent, others])


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_entry_is_compiled_again(damage):
    fresh()(3)
    (entry,) = cache.folder().iterdir()
    content = entry.read_bytes()
    middle = len(content) // 2
    damaged = {
        "cut": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
    }
    entry.write_bytes(damaged[damage])
    assert compiles(lambda: fresh()(3))
    assert not compiles(lambda: fresh()(3))


def cannot_write(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_once(monkeypatch):
    monkeypatch.setattr(cache, "atomic_write", cannot_write)
    with pytest.warns(RuntimeWarning, match="cannot be kept on disk.*NUMBA_CACHE_DIR"):
        assert fresh()(np.ones(3)).tolist() == [2, 2, 2]
    assert fresh()(np.ones(3, np.float32)).dtype == np.float32  # a warning would be an error


def test_no_folder_is_said_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="cannot be kept on disk"):
        assert fresh()(3) == 6
    assert fresh()(4) == 8


def test_a_user_without_a_home_folder(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(cache, "cache_folder", no_home)
    with pytest.warns(RuntimeWarning, match="cannot be kept on disk"):
        assert fresh()(3) == 6


def test_a_kernel_whose_compilation_was_interrupted(monkeypatch):
    def incomplete(*args):
        raise RuntimeError("no compiled object yet for <Library 'double'>")

    monkeypatch.setattr(compiler.CompileResult, "_reduce", incomplete)
    assert fresh()(3) == 6
    assert not list(cache.folder().iterdir())


def test_entries_that_cannot_be_read(monkeypatch):
    fresh()(3)

    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert fresh()(3) == 6


def test_the_hook_is_called_once():
    called = []
    with compiling.on_compile(lambda: called.append("outer")):
        with compiling.on_compile(lambda: called.append("inner")):
            fresh()(3)
            fresh()(np.ones(3))
        assert called == ["inner"]
        fresh()(3j)
    fresh()(np.ones(3, np.float32))
    assert called == ["inner", "outer"]


def test_loading_the_kernels_writes_nothing(root):
    """The cache's folder is made at the first use of a kernel, not at import."""
    code = "import autocnn.fast.kernels.numba"
    env = os.environ | {"NUMBA_CACHE_DIR": str(root)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert not root.exists()
