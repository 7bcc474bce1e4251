"""What a check of a large argument allocates, and the parts that keep it small."""

import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from autocnn.gradcheck import adapters
from autocnn.gradcheck.chunks import blocks, checksum
from autocnn.gradcheck.large.directions import Direction, measure, unit_of
from autocnn.gradcheck.large.examine import examine_large
from autocnn.gradcheck.report import Report
from autocnn.gradcheck.state import Memory


def sine(x):
    return np.sin(x), lambda dy: {"x": dy * np.cos(x)}


def sine_wrong(x):
    return np.sin(x), lambda dy: {"x": -dy * np.cos(x)}


@pytest.mark.parametrize("f", [sine, sine_wrong])
def test_full_size_allocates_at_most_three_times_the_leaf(f):
    x = np.random.default_rng(0).standard_normal(2_000_000)
    problem = adapters.closure(f, {"x": x})
    memory = Memory((f,))
    tracemalloc.start()
    report = examine_large(problem, memory, 0, lambda small: Report("", {}, problem=small))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # sine's own backward holds dy, cos(x) and their product; the tables of directions are fixed
    assert peak < 3 * x.nbytes + 8e6
    assert report.leaves["x"].verdict == ("agree" if f is sine else "wrong")


_PROCESS = """
import re, sys
import numpy as np
from autocnn import gradcheck
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024
def relu(x):
    return np.maximum(x, 0), lambda dy: {"x": dy * (x > 0)}
def wrong(x):
    return np.maximum(x, 0), lambda dy: {"x": dy * (dy > 0)}
f = {"relu": relu, "wrong": wrong}[sys.argv[1]]
gradcheck.check(f, x=np.random.default_rng(0).standard_normal(300_000))
x = np.random.default_rng(0).standard_normal(25_000_000)
before = peak()
report = gradcheck.check(f, x=x)
print((peak() - before) / x.nbytes, report.ok, *[c.code for c in report.errors])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("name", ["relu", "wrong"])
def test_process_of_25_million_entries_grows_by_less_than_four_leaves(name):
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS, name], capture_output=True, text=True, check=True
    )
    grown, ok, *codes = done.stdout.split()
    assert float(grown) < 4
    assert (ok, codes) == (("True", []) if name == "relu" else ("False", ["mask", "not-linear"]))


@pytest.mark.parametrize("shape", [(), (7,), (100_000,), (300, 400), (3, 70_000), (2, 3, 40_000)])
def test_blocks_cover_an_array_once(shape):
    array = np.zeros(shape)
    starts = []
    for index, start in blocks(shape):
        array[index] += 1
        starts.append(start)
    assert np.all(array == 1)
    assert starts == sorted(set(starts))
    whole = np.arange(array.size).reshape(shape)
    assert all(np.ravel(whole[i])[0] == s for i, s in blocks(shape))


def test_direction_is_the_same_at_every_reading_and_projects_as_an_array():
    rng = np.random.default_rng(3)
    x, g = rng.standard_normal((300, 500)), rng.standard_normal((500, 300)).T
    x[4] = 0
    w, unit = Direction(x.shape, 1, 2), unit_of(x)
    assert unit == pytest.approx(np.sqrt(np.mean(x**2)))
    u = w.array(np.dtype(float))
    assert w.is_equal(u)
    u2 = u.copy()
    u2[299, 499] += 1
    assert not w.is_equal(u2)
    reach = np.where(x == 0, unit, np.minimum(np.abs(x), unit))
    (coarse, fine), size = w.project(g, x, (2.0**-10, 2.0**-30), unit)
    assert coarse == pytest.approx(np.sum(g * u * reach), abs=1e-9)
    assert fine == pytest.approx(coarse, abs=1e-4)
    assert size == pytest.approx(np.sum(np.abs(g * u * reach)))
    moved = np.empty_like(x)
    w.move(x, 0.5, unit, moved)
    assert np.allclose(moved, x + 0.5 * u * reach)


def test_measured_output_is_the_weighted_sum():
    y = np.random.default_rng(4).standard_normal((600, 1000))
    v = Direction(y.shape, 5)
    seen = measure([y], [v])
    weights = v.array(np.dtype(float))
    assert seen.value == pytest.approx(np.sum(weights * y))
    assert seen.size == pytest.approx(np.sum(np.abs(weights * y)))
    assert seen.share == pytest.approx(len(seen.sample) / y.size)
    assert set(seen.sample) <= set(y.ravel())
    y[5, 5] = np.nan
    assert not measure([y], [v]).finite


def test_checksum_sees_one_bit():
    x = np.zeros((200, 1000))
    before = checksum(x)
    x[150, 3] = -0.0
    assert checksum(x) != before
    assert re.fullmatch(r"\d+", str(before))
