"""Trains in forked children that are killed at chosen moments, and then goes on in others. Run by
test_kills.py.

    python kill_runner.py FOLDER STEP
        kills one child at each STEP-th of 60 moments; prints one JSON object: the names of the
        moments of a whole run, and what became of each child

A child counts the moments that it comes by (before, in the middle of and after each write, sync,
rename and removal; before and after each step of the optimizer) and sends itself SIGKILL at a given
one. This process has one thread, so that it may fork.
"""

import gc
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import time

from autocnn import files
from autocnn.cli import app
from autocnn.plots import training as plots
from autocnn.runs import config_file, recipes

# With this seed the first of two epochs is the best.
CALL = [
    "train",
    "tiny-cnn",
    "--data",
    "patterns",
    "--limit",
    "20",
    "--epochs",
    "2",
    "--batch-size",
    "10",
    "--shift",
]
CALL += ["--seed", "5", "--run"]
MOMENTS, TIMES, CHAINS = 60, 4, 2


class Figure:
    """Stands for a figure, which would take longer than all the rest."""

    def savefig(self, file, format, metadata):
        file.write(b"figure" * 100)


def moments(at):
    """Watch this process from here on: kill it at the moment ``at``. Returns the list of the
    moments so far.
    """
    names = []

    def come(name):
        names.append(name)
        if len(names) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(name, function):
        def watched(*args, **options):
            come(f"before {name}")
            found = function(*args, **options)
            come(f"after {name}")
            return found

        return watched

    class Halves:
        """A file whose every write is two, the first of which has reached the disk when the
        second begins.
        """

        def __init__(self, *args):
            self.file = open(*args)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, content):
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            come("in the middle of write")
            self.file.write(content[len(content) // 2 :])

        def __getattr__(self, name):
            return getattr(self.file, name)

    create = around("open", Halves)

    def opened(path, mode="r"):  # reading changes nothing on the disk
        return create(path, mode) if "x" in mode else open(path, mode)

    files.open = opened
    os.fsync = around(
        "fsync", lambda file: None
    )  # what SIGKILL leaves does not depend on it, and it takes half of the time
    for name in ("link", "replace", "unlink", "mkdir"):
        setattr(os, name, around(name, getattr(os, name)))
    build = recipes.optimizer

    def optimizer(*args):
        found = build(*args)
        return found._replace(update=around("step", found.update))

    recipes.optimizer = optimizer
    return names


def child(folder, at=0, after=None):
    """Train in a child, killed at the moment ``at`` or so many seconds ``after``. Returns its
    names of moments and its end.
    """
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        code = 99
        try:
            names = moments(at)
            app([*CALL, str(folder)], standalone_mode=False)
            os.write(write, json.dumps(names).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    with open(read) as names:
        names = names.read()
    return json.loads(names or "[]"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(root, step):
    config_file.new_identity = lambda: "0" * 32  # whole files are compared
    for name in ("curves", "confusion", "mistakes"):
        setattr(plots, name, lambda *args: Figure())
    sys.stdout.flush()
    said, quiet = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    app(
        [*CALL, str(root / "first")], standalone_mode=False
    )  # imports what is imported late, once for all children
    gc.freeze()  # and no child goes through their pages
    names, end = child(root / "whole")
    start = time.perf_counter()
    child(root / "first again")
    whole = time.perf_counter() - start
    found = [{"folder": "whole", "moment": "", "ends": [end]}]

    between = [
        i for i, name in enumerate(names) if name == "after replace"
    ]  # one file is new and the next one old
    kinds = sorted(
        {*range(len(names))} - {*between}, key=names.__getitem__
    )  # evenly over the others, and in each over time
    first = {names[i]: i for i in reversed(kinds)}  # each kind once, and the rest evenly
    kinds = [i for i in kinds if i not in first.values()]
    rest = MOMENTS - len(between) - len(first)
    chosen = [*first.values(), *between, *(kinds[i * len(kinds) // rest] for i in range(rest))]
    kills = [(f"{i}", {"at": 1 + moment}) for i, moment in enumerate(chosen[::step])]
    draw = random.Random(4)
    kills += [(f"{MOMENTS + i}", {"after": draw.random() * whole}) for i in range(TIMES)]
    for name, kill in kills:
        _, killed = child(root / name, **kill)
        if (root / name).exists():
            shutil.copytree(root / name, root / f"{name} killed")
        _, end = child(root / name)
        moment = names[kill["at"] - 1] if "at" in kill else f"after {kill['after']:.3f} s"
        found.append({"folder": name, "moment": moment, "ends": [killed, end]})
    for i in range(
        CHAINS
    ):  # killed again and again, at the n-th moment of each attempt, until one is done before that
        ends = []
        while not ends or (ends[-1] == -signal.SIGKILL and len(ends) < 60):
            ends.append(child(root / f"chain {i}", at=47 + 13 * i)[1])
        found.append({"folder": f"chain {i}", "moment": "", "ends": ends})
    os.dup2(said, 1)
    print(json.dumps({"moments": names, "found": found}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
