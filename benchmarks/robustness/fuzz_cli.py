"""Attack the command line: mutated lines, damaged run folders and pictures, and a fence that
sees writes elsewhere.
"""

import contextlib
import io
import json
import os
import signal
import sys

import numpy as np

from autocnn.data import idx
from benchmarks.robustness.mutate import dumped, mutated, mutated_json

WORDS = """
    train evaluate predict trace filters summary export data chapter check --help --json --last
    --run --data --epochs --batch-size --optimizer --rate --weight-decay --clip --shift
    --no-flip --width --original --seed --engine --limit --out --shape --classes --top --invert
    --no-invert --sections tiny-cnn tiny-mlp lenet5 lenet5-1998 alexnet vgg16 resnet50 digits
    patterns mnist run picture.png data/tiny broken broken.png adam sgd reference autograd 0 1 2
    3 -1 1e-3 0.05 nan inf -inf 1e400 99999999999999999999 3,8,8 1,28,28 3,0,8 out new/run
    model.onnx net.safetensors figure.png /dev/null /dev/full /proc/self/mem . .. / -- - 25.1
    25.9 --nonsense -h --version
""".split()  # noqa: SIM905 (a list of a hundred words)
STARTS = (
    "train tiny-cnn --data data/tiny --epochs 1 --out new/run",
    "train --run run",
    "train --run broken",
    "evaluate run",
    "evaluate run --data data/tiny",
    "evaluate broken",
    "predict run picture.png",
    "predict broken picture.png",
    "predict run broken.png",
    "trace run picture.png --out figure.png",
    "filters run --out figure.png",
    "filters broken --out figure.png",
    "summary resnet50",
    "summary broken",
    "summary tiny-cnn --shape 1,8,8",
    "export run model.onnx",
    "export run net.safetensors",
    "export broken model.onnx",
    "chapter --sections 25.9",
    "exercise 25.9 --seeds 2",
    "check layers.py:double --shape x=2",
    "data",
    "data list --json",
)
# Where compiled kernels, compiled Python and Matplotlib's list of fonts are kept.
CACHES = (os.path.join("autocnn", "kernels"), "__pycache__", os.path.join("matplotlib", ""))


def workplace(folder):
    """Make what commands work on: ``run``, ``data/tiny``, ``picture.png`` and ``layers.py`` in
    the folder ``folder``.
    """
    from PIL import Image

    from autocnn.data.known import FILES

    (folder / "data" / "tiny").mkdir(parents=True)
    pictures, labels = (
        np.arange(3 * 64).reshape(3, 8, 8).astype(np.uint8),
        np.arange(3, dtype=np.uint8),
    )
    for name, array in zip(FILES, (pictures, labels) * 2, strict=True):
        idx.write(folder / "data" / "tiny" / name, array)
    Image.fromarray(pictures[0]).save(folder / "picture.png")
    (folder / "layers.py").write_text("def double(x):\n    return 2 * x, lambda dy: 2 * dy\n")
    code, _, said = command(
        ["train", "tiny-cnn", "--data", "data/tiny", "--epochs", "1", "--out", "run"], 60
    )
    assert code == 0, said


def spoil(folder, chance):
    """Put a damaged run folder ``broken`` and a damaged picture beside the whole ones."""
    (folder / "broken").mkdir(exist_ok=True)
    for source in (folder / "run").iterdir():
        content = source.read_bytes()
        if chance.random() < 0.6:
            content = mutated(content, chance)
            if source.name == "config.json":
                content = dumped(mutated_json(json.loads(source.read_bytes()), chance))
        (folder / "broken" / source.name).write_bytes(content)
    (folder / "broken.png").write_bytes(mutated((folder / "picture.png").read_bytes(), chance))


def a_line(chance):
    """A command line: one that makes sense with words put in, taken away, replaced or damaged."""
    words = chance.choice(STARTS).split()
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        i = chance.randint(0, len(words))
        match chance.randrange(5):
            case 0 | 1:
                words.insert(i, chance.choice(WORDS))
            case 2:
                words[i : i + 1] = [chance.choice(WORDS)]
            case 3:
                del words[i : i + 1]
            case 4 if i < len(words):
                changed = (
                    mutated(words[i].encode(), chance, 2)
                    .decode("utf-8", "replace")
                    .replace("\0", "")
                )
                words[i] = changed
    return words


def command(words, seconds=3.0):
    """Run a command line in this process, pressing Ctrl-C after so much work. Returns (exit
    code, stdout, stderr).
    """
    from autocnn import cli

    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["autocnn", *words]
    signal.setitimer(
        signal.ITIMER_PROF, seconds, 20.0
    )  # of this process alone: a machine may be busy with other things
    signal.setitimer(signal.ITIMER_REAL, 100 * seconds, 20.0)  # for what waits
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if end.code is not None else 0
    except KeyboardInterrupt:
        code = "interrupted"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.argv = argv
    return code, out.getvalue(), err.getvalue()


class Fence:
    """Notes every attempt to write outside of one folder, by Python's audit events, while
    ``up``.
    """

    def __init__(self, folder):
        self.folder, self.up, self.crossed = os.path.realpath(folder), False, []
        sys.addaudithook(self.see)

    def see(self, event, args):
        if not self.up:
            return
        if event == "open" and isinstance(args[0], (str, bytes)):
            writes = (
                args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                if isinstance(args[2], int)
                else False
            )
            touched = [args[0]] if writes else []
        elif event in ("os.rename", "os.link", "os.symlink"):
            touched = args[:2]
        elif event in (
            "os.remove",
            "os.mkdir",
            "os.rmdir",
            "os.chmod",
            "os.truncate",
            "shutil.rmtree",
        ):
            touched = args[:1]
        else:
            return
        for path in touched:
            if isinstance(path, int):  # a descriptor, whose path was seen when it was opened
                continue
            if any(place in os.path.abspath(os.fsdecode(path)) for place in CACHES):
                continue
            place = os.path.realpath(os.path.dirname(os.path.join(self.folder, os.fsdecode(path))))
            if os.path.commonpath([place, self.folder]) != self.folder and not os.fsdecode(
                path
            ).startswith("/dev/"):
                self.crossed.append((event, os.fsdecode(path)))


def attack_cli(folder, chance, fence):
    """Run one hostile command line in ``folder``. Returns its exit code; AssertionError when it
    misbehaves.
    """
    if chance.random() < 0.2:
        spoil(folder, chance)
    words = a_line(chance)
    fence.up, fence.crossed = True, []
    try:
        code, out, err = command(words)
    finally:
        fence.up = False
    told = f"autocnn {' '.join(words)}\n{out[-500:]}\n{err[-2000:]}"
    outside = [crossing for crossing in fence.crossed if not _asked_for(crossing[1], words)]
    assert not outside, f"wrote outside of the folder: {outside}\n{told}"
    assert code in (0, 1, 2, 130), f"exit code {code}\n{told}"
    # A Ctrl-C that falls into a destructor is printed and lost, in any Python program; the timer
    # comes again.
    assert "Traceback" not in err or "raise KeyboardInterrupt\nKeyboardInterrupt" in err, told
    assert code in (0, 130) or err.strip() or "Usage:" in out, (
        f"exit code {code} without a word\n{told}"
    )
    if "--json" in words and code == 0 and not {"--help", "-h", "--version", "train"} & set(words):
        json.loads(out)
    return code


def _asked_for(path, words):
    """Whether a command line names the place outside of its folder to which a path belongs: then
    it was chosen.
    """
    named = [os.path.abspath(word) for word in words if word.startswith(("/", ".."))]
    return any(
        os.path.abspath(path).startswith(os.path.dirname(name) if name != "/" else name)
        for name in named
    )


@contextlib.contextmanager
def patched():
    """A world for the command line: a narrow terminal, no network, and Ctrl-C by a timer."""
    from autocnn.cli import data as commands

    def press(number, frame):
        if is_importing(frame):  # a process that goes on after it would have half a module
            which = signal.ITIMER_PROF if number == signal.SIGPROF else signal.ITIMER_REAL
            signal.setitimer(which, 0.05, 20.0)
            return
        raise KeyboardInterrupt

    fetch, before = (
        commands.fetch_files,
        [(s, signal.signal(s, press)) for s in (signal.SIGPROF, signal.SIGALRM)],
    )
    commands.fetch_files = refuse_fetching
    try:
        yield
    finally:
        commands.fetch_files = fetch
        for number, handler in before:
            signal.signal(number, handler)


def is_importing(frame):
    """Whether a module is being imported."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def refuse_fetching(name, tell):
    """Stands for the network, which a fuzzer leaves alone."""
    from autocnn.data.fetch import FetchError

    raise FetchError("no network here")
