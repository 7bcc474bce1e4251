"""Killed ranks: one of three ranks of ``autocnn train --ranks 3`` is killed at a random time, again
and again, by a random signal; it must be named with that signal, and the others must reach the
losses of a single process.

    python -m benchmarks.robustness.ranks [KILLS] [SEED]                                   # 20
"""

import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

from autocnn import runs

ROOT = pathlib.Path(__file__).parents[2]
TRAIN = "train tiny-cnn --data patterns --limit 200 --epochs 20 --seed 3 --dtype float64 --run"
# A rank leaves its process number in a folder before it trains.
RANK = """
import os, pathlib
from autocnn.cli import main
pathlib.Path({folder!r}, os.environ["PMI_RANK"]).write_text(str(os.getpid()))
main()
"""
COMMAND = """
from autocnn.cli import launch, main
launch.PROGRAM = ("-c", {rank!r})
main()
"""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS)


def losses(folder):
    """The numbers of a finished run's history."""
    return np.array([*runs.load(folder, "last").train_state.history.values()])


def attack(root, expected, draw):
    """Kill a rank. Returns whether it was named and the losses are right, None when too late."""
    (root / "ids").mkdir()
    code = COMMAND.format(rank=RANK.format(folder=str(root / "ids")))
    command = [sys.executable, "-c", code, *TRAIN.split(), str(root / "run"), "--ranks", "3"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        while len(numbers := [p for p in (root / "ids").iterdir() if p.read_text()]) < 3:
            time.sleep(0.01)
        if draw.random() < 0.7:  # not while its program is being imported
            while not (root / "run" / "history.csv").exists():
                time.sleep(0.01)
        time.sleep(draw.random())
        path, number = draw.choice(sorted(numbers)), draw.choice(SIGNALS)
        try:
            os.kill(int(path.read_text()), number)
        except ProcessLookupError:
            process.communicate()
            return None
        said = process.communicate()[1]
    name = f"rank {path.name} of 3 was killed ({number.name})"
    close = process.returncode == 0 and np.abs(losses(root / "run") - expected).max() < 1e-10
    if name not in said or not close:
        print(f"{name}: said {said!r}, exit code {process.returncode}, losses {close}")
    return name in said and bool(close)


def main(kills=20, seed=0):
    """Print how many ranks were named, and how many runs reached the losses."""
    draw, killed = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as alone:
        run = [sys.executable, "-m", "autocnn", *TRAIN.split(), alone + "/run"]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        expected = losses(alone + "/run")
    while killed < kills:
        with tempfile.TemporaryDirectory() as root:
            is_right = attack(pathlib.Path(root), expected, draw)
        if is_right is False:
            return False
        killed += is_right is True
    print(
        f"{killed} killed ranks named with their signals, and the losses of one process after each"
    )
    return True


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
