"""Kills: SIGKILL at 40 random times of ``autocnn train``, a whole process each; how many runs go on
to the same bits.

    python -m benchmarks.robustness.kills [KILLS]

Each run is killed at times drawn anew until one attempt gets to the end; its files are then
compared with those of a run that nobody disturbed. Kills go on until there are enough that found
the process alive.
"""

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from autocnn import runs

TRAIN = "train tiny-cnn --data patterns --epochs 30 --batch-size 9 --shift --flip --seed 3 --run"
# One identity for all runs, whose files are compared.
START = "from autocnn.runs import config_file as c; c.new_identity = lambda: 32 * '0'; "
PROGRAM = [sys.executable, "-c", f"{START}from autocnn.cli import main; main()", *TRAIN.split(" ")]


def start(folder):
    """Start a process that trains into the folder, quietly."""
    root = str(pathlib.Path(__file__).parents[2])
    return subprocess.Popen(
        [*PROGRAM, folder], stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": root}
    )


def disturbed(folder, seconds, draw):
    """Train into a folder, killed again and again within so many seconds of each start. Returns
    the number of kills.
    """
    kills = 0
    while True:
        process = start(folder)
        time.sleep(draw.random() * seconds)
        process.kill()
        if process.wait() == 0:
            return kills
        kills += 1
        for name in ("last", "best"):
            if (folder / f"{name}.safetensors").exists():
                runs.load(folder, name)  # a ValueError if it were damaged


def files(folder):
    """What the run has left, by name; a figure tells the same as the history that it is drawn
    from.
    """
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".png"}


def main(wanted=40):
    """Print how many kills were survived."""
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as root:
        root, began = pathlib.Path(root), time.monotonic()
        if start(root / "whole").wait():
            raise SystemExit("the run fails without being killed")
        seconds, whole = time.monotonic() - began, files(root / "whole")
        kills = same = number = 0
        while kills < wanted:
            number += 1
            kills += disturbed(root / f"{number}", 1.2 * seconds, draw)
            same += files(root / f"{number}") == whole
    print(
        f"{kills} kills at random times within {1.2 * seconds:.1f} s; "
        f"{same} of {number} runs ended in the same bits"
    )
    return same == number


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
