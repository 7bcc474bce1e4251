"""How a results file recognises its sweep: names that are equal for equal functions only."""

import functools
import importlib
import json
import linecache
import os
import shutil
import subprocess
import sys
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn.sweeps.identity import NeedsName, data_name, function_name, without_hashes
from autocnn.sweeps.store import Store

STORED = Path(__file__).parents[1] / "data" / "sweep" / "trials.jsonl"


class Inline(Executor):
    """Does the work at once, in this thread, and counts it."""

    def __init__(self):
        self.calls = 0

    def submit(self, f, *args, **kwargs):
        self.calls += 1
        future = Future()
        future.set_result(f(*args, **kwargs))
        return future


def sweep(build, out, **changes):
    """Run a sweep of one short trial on ``out``; return how many trials ran."""
    worker = Inline()
    found = ac.sweep(build, {"epochs": [1]}, 1, worker, out=out, **changes)
    assert not found.failed
    return worker.calls


SOURCE = """
import math
from functools import partial

import autocnn as ac
import reference

FILTERS = 2
OPTIONS = {"kernels": [3, 4], "scale": None}
UNUSED = 1

def helper(filters):
    return ac.models.tiny_cnn(filters=int(math.sqrt(filters**2)), nn=reference)

def build():
    return (lambda: helper(FILTERS) if OPTIONS["kernels"] else 0)()

def recursive(depth=1):
    return recursive(depth - 1) if depth else helper(2)

class Build:
    def __new__(cls):
        return helper(2)

def draws(seed):
    return ac.data.patterns(seed=seed, classes=("vertical", "horizontal", "dot"))

def unrelated():
    return UNUSED
"""


@pytest.fixture
def load_nets(tmp_path, monkeypatch):
    """A function that imports a source as the module nets, as a user edits a file between runs."""

    def load(source):
        (tmp_path / "nets.py").write_text(source)
        sys.modules.pop("nets", None)
        linecache.clearcache()
        importlib.invalidate_caches()
        return importlib.import_module("nets")

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield load
    sys.modules.pop("nets", None)


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("build", "FILTERS = 2", "FILTERS = 5"),  # a global that only the inner lambda reads
        ("build", "[3, 4]", "[3, 5]"),
        ("build", "helper(FILTERS)", "helper(FILTERS + 1)"),
        ("build", "filters=int(", "filters=1 + int("),  # the function that it calls
        ("recursive", "else helper(2)", "else helper(3)"),
        ("recursive", "depth=1", "depth=2"),  # a default
        ("Build", "return helper(2)\n\ndef draws", "return helper(3)\n\ndef draws"),
    ],
)
def test_an_edited_function_is_another_sweep(load_nets, tmp_path, name, old, new):
    assert old in SOURCE
    out = tmp_path / "trials.jsonl"
    assert sweep(getattr(load_nets(SOURCE), name), out) == 1
    assert sweep(getattr(load_nets(SOURCE), name), out) == 0
    before = out.read_bytes()
    with pytest.raises(ValueError, match=rf"another sweep: build is 'nets\.{name} "):
        sweep(getattr(load_nets(SOURCE.replace(old, new)), name), out)
    assert out.read_bytes() == before


def test_an_unrelated_edit_is_the_same_sweep(load_nets, tmp_path):
    out = tmp_path / "trials.jsonl"
    assert sweep(load_nets(SOURCE).build, out) == 1
    edited = SOURCE.replace("UNUSED = 1", "UNUSED = 2").replace("def unrelated", "\ndef unrelated")
    assert sweep(load_nets(edited).build, out) == 0


def test_data_functions_have_names_too(load_nets, tmp_path):
    out = tmp_path / "trials.jsonl"
    build = functools.partial(ac.models.tiny_cnn, nn=reference)
    assert sweep(build, out, data=load_nets(SOURCE).draws) == 1
    assert sweep(build, out, data=load_nets(SOURCE).draws) == 0
    with pytest.raises(ValueError, match="another sweep: data is"):
        sweep(build, out, data=load_nets(SOURCE.replace('"dot"', '"cross"')).draws)


def closure(filters):
    return lambda: ac.models.tiny_cnn(filters=filters, nn=reference)


class Builder:
    def __init__(self, filters):
        self.filters = filters

    def __call__(self):
        return ac.models.tiny_cnn(filters=self.filters, nn=reference)


UNNAMED = {
    "lambda": closure,
    "wrapped": lambda n: functools.wraps(ac.models.tiny_cnn)(closure(n)),
    "object": Builder,
    "method": lambda n: Builder(n).__call__,
    "partial of a lambda": lambda n: functools.partial(closure(n)),
    "partial with an object": lambda n: functools.partial(lambda b: b(), Builder(n)),
    "eval": lambda n: eval(f"lambda: tiny_cnn(filters={n})", {"tiny_cnn": ac.models.tiny_cnn}),
}


@pytest.mark.parametrize("make", UNNAMED.values(), ids=UNNAMED)
def test_what_cannot_be_imported_needs_a_name(make, tmp_path):
    out = tmp_path / "trials.jsonl"
    with pytest.raises(NeedsName, match=r"sweep\(\.\.\., name='my network'\)") as caught:
        sweep(make(2), out)
    assert "\n" not in str(caught.value) and not out.exists()
    assert sweep(make(2), out, name="two") == 1
    assert sweep(make(2), out, name="two") == 0
    with pytest.raises(ValueError, match="another sweep: build is 'two' there and 'three'"):
        sweep(make(3), out, name="three")
    assert ac.sweep(make(2), {"epochs": [1]}, 1, Inline()).trials  # without out= nothing is needed


def test_arguments_are_part_of_the_name():
    build = functools.partial(
        ac.models.tiny_cnn, 3, nn=ac.fast, kernel=(3, 2), options={"a": [None, 1.5, np.int64(2)]}
    )
    assert function_name(build) == (
        "tiny_cnn(3, nn=autocnn.fast, kernel=tuple(3, 2), options={'a': list(None, 1.5, 2)})"
    )
    with pytest.raises(NeedsName, match="ndarray is not a function"):
        function_name(functools.partial(ac.models.tiny_cnn, np.arange(3)))


def test_data_sets_are_told_apart_by_every_number(patterns):
    assert data_name(None) == "patterns" and data_name("mnist") == "mnist"
    changed = patterns.x_val.copy()
    changed[-1, -1, -1, -1] += 1e-15
    others = [
        patterns,
        patterns._replace(x_val=changed),
        patterns._replace(x_train=patterns.x_train.astype("float32")),
        patterns._replace(x_train=patterns.x_train.reshape(-1, 1, 4, 16)),
    ]
    assert len({data_name(data) for data in others}) == len(others)


def test_a_builder_has_one_name_in_every_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from autocnn.sweeps.identity import function_name\n"
        "def build(kind):\n"
        "    return build(kind) if kind in {'tanh', 'relu', 'identity'} else None\n"
        "print(function_name(build))\n"
    )
    names = set()
    for seed in ("1", "2", "3"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, str(script)]
        done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
        names.add(done.stdout)
    assert len(names) == 1 and names.pop().startswith("build ")


def test_results_of_the_previous_version_go_on(tmp_path):
    """tests/data/sweep was written by version 0.1.0: autocnn sweep tiny-cnn --grid filters=1:2
    --seeds 2 --epochs 3.
    """
    out = tmp_path / "trials.jsonl"
    shutil.copy(STORED, out)
    build, worker = functools.partial(ac.models.tiny_cnn, nn=ac.fast), Inline()
    found = ac.sweep(build, {"filters": [1, 2]}, 2, worker, epochs=3, out=out)
    assert worker.calls == 0 and out.read_bytes() == STORED.read_bytes()
    lines = [json.loads(line) for line in STORED.read_text().splitlines()[1:]]
    assert found.trials == [line["trial"] | line["result"] for line in lines]
    more = ac.sweep(build, {"filters": [1, 2, 3]}, 2, worker, epochs=3, out=out)
    assert worker.calls == 2 and more.trials[:4] == found.trials
    assert out.read_bytes().startswith(STORED.read_bytes())


def test_the_command_continues_results_of_the_previous_version(command, tmp_path):
    shutil.copy(STORED, tmp_path / "trials.jsonl")
    asked = ("sweep", "tiny-cnn", "--grid", "filters=1:2", "--seeds", 2, "--epochs", 3)
    code, stdout, stderr = command(*asked, "--out", tmp_path, "--json")
    assert (code, stderr) == (0, "") and len(json.loads(stdout)["trials"]) == 4
    assert (tmp_path / "trials.jsonl").read_bytes() == STORED.read_bytes()


def test_functions_that_the_previous_version_named_without_hash_go_on(load_nets, tmp_path):
    out, build = tmp_path / "trials.jsonl", load_nets(SOURCE).build
    sweep(build, out)
    head, *lines = out.read_text().splitlines(keepends=True)
    named = function_name(build)
    assert without_hashes(named) == "nets.build" != named
    out.write_text(head.replace(named, "nets.build") + "".join(lines))
    assert sweep(build, out) == 0
    out.write_text(head.replace(named, "nets.other") + "".join(lines))
    with pytest.raises(ValueError, match=r"build is 'nets\.other' there"):
        sweep(build, out)


def test_a_changed_bit_in_a_result_is_said(tmp_path):
    path, trial = tmp_path / "trials.jsonl", {"filters": 1, "seed": 0}
    with Store(path, {"build": "x"}) as store:
        store.add(trial, {"val_acc": 0.9375, "val_loss": 0.125})
    content = path.read_bytes()
    begin, accepted = content.index(b"\n") + 1, []
    for bit in range(8 * begin, 8 * (len(content) - 1), 3):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            Store(path, {"build": "x"}).close()
        except ValueError as error:
            assert "damaged" in str(error) or "delete" in str(error)
        else:
            accepted.append(bytes(changed))
    assert not accepted
