"""Attack the program with broken input, mutated at random: files of data, images, weights and runs,
and command lines.

    python -m benchmarks.robustness.fuzz                                        # 20,000 of each
    python -m benchmarks.robustness.fuzz checkpoint --count 1000 --seed 5

Whatever comes, a reader may return or raise ValueError, and may hold no more memory than four times
the file: of a gzipped one, of what it unpacks to; of a checkpoint, 30 times what its header has of
JSON, which is at most 4 MB and grows when it becomes Python's dicts and lists. The command line may
end with 0, 1 or 2, or with 130 when it trained until a timer pressed Ctrl-C, says what is wrong
without a traceback, and writes nothing outside of the folder that it runs in.

Of data sets, weights, calibrations, estimators and images, an error must also be one printable line
that names the file; no pickle is run; no other warning than of left-out images or of their scale is
given; and where the file has sums, changed bytes never load as other data.
"""

import argparse
import contextlib
import gzip
import json
import logging
import pathlib
import random
import resource
import signal
import struct
import tempfile
import time
import tracemalloc
import warnings
import zlib

import numpy as np

from autocnn import checkpoint, models, optim
from autocnn.data import UnreadableImages, UnscaledImages, idx
from autocnn.text import visible
from benchmarks.robustness import fuzz_arrays, fuzz_data, fuzz_runs, fuzz_weights
from benchmarks.robustness.fuzz_cli import Fence, attack_cli, patched, workplace
from benchmarks.robustness.mutate import INTS, dumped, mutated, mutated_json

SECONDS = 5  # of computing, that reading a small file may take
ADDRESSES = 12 << 30  # bytes of address space; torch takes some of them
SLACK = 1 << 19  # what reading a file of a few bytes takes, its error included


def attack_idx(folder, chance):
    """Make one hostile IDX file in ``folder``; return the call that reads it and a quarter of
    the memory that it may take.
    """
    shape = chance.choice(((3, 4, 5), (50, 8, 8), (7,), (2, 28, 28)))
    content = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + chance.randbytes(
        int(np.prod(shape))
    )
    if chance.random() < 0.5:
        content = mutated(content, chance)
    if chance.random() < 0.3:  # a size that promises too much, the rest being right
        at = 4 * chance.randint(1, len(shape))
        content = (
            content[:at] + (chance.choice(INTS) % 2**32).to_bytes(4, "big") + content[at + 4 :]
        )
    unpacked = len(content)
    if chance.random() < 0.4:
        if chance.random() < 0.2:
            content += bytes(
                chance.choice((10, 100_000, 3_000_000))
            )  # zeros, which shrink a thousandfold
        content = gzip.compress(content, mtime=0)
        if chance.random() < 0.5:
            content = mutated(content, chance)
        unpacked = _unpacked(content)
    path = folder / chance.choice(("images-idx3-ubyte", "images-idx3-ubyte.gz"))
    path.write_bytes(content)
    kind = chance.choice(("images", "labels"))
    return lambda: chance.choice((idx.read, idx.shape))(path, kind), max(len(content), unpacked)


def _unpacked(content):
    """How many bytes a gzip file gives before it ends or proves damaged."""
    total, rest = 0, content
    with contextlib.suppress(zlib.error):
        while rest:
            unzip = zlib.decompressobj(31)
            while rest and not unzip.eof:  # in steps, so that what came before the damage counts
                total += len(unzip.decompress(rest, 1 << 14))
                rest = unzip.unconsumed_tail
            rest = unzip.unused_data
    return total


def seeds():
    """Checkpoints to start from, as pairs (header, body): a network, a run with an optimizer's
    state, odd trees.
    """
    _, params, state = models.tiny_cnn().init(3, (1, 8, 8), "float32")
    _, block, norms = models.resnet50(3, stem=1).init(1, (3, 32, 32), "float32")
    where = {"step": 3, "loss": 0.5, "history": {"epoch": [0, 1]}}
    trees = (
        (params, {"network": state, "optimizer": optim.adam().init(params)}, where),
        (block[:5], norms[:5], {}),
        (
            [{"w": np.ones(10_000)}, (), {}],
            {"a": [np.zeros((), bool), np.zeros((0, 3), np.int64)]},
            {"x": [1, None, "y"]},
        ),
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for tree in trees:
            path = pathlib.Path(folder, "seed")
            checkpoint.save(path, *tree)
            content = path.read_bytes()
            n = int.from_bytes(content[:8], "little")
            found.append((json.loads(content[8 : 8 + n]), content[8 + n :]))
    return found


def attack_checkpoint(folder, chance, known=[]):  # noqa: B006 (made once, from nothing)
    """Make one hostile checkpoint; return the call that reads it and a quarter of the memory
    that it may take.
    """
    known = known or known.extend(seeds()) or known
    header, body = chance.choice(known)
    about = json.loads(header["__metadata__"]["autocnn"])
    level = chance.randrange(4)
    if level >= 2:  # the project's own part of the header, in a file that is otherwise whole
        for _ in range(chance.choice((1, 1, 2, 5))):
            about = mutated_json(about, chance)
        header = header | {"__metadata__": {"autocnn": dumped(about).decode()}}
    if level == 1:
        header = mutated_json(header, chance)
    raw = dumped(header)
    size = len(raw) if chance.random() < 0.9 else chance.choice(INTS)
    content = size.to_bytes(8, "little") + raw + body
    if level == 0:
        content = mutated(content, chance)
    path = folder / "checkpoint.safetensors"
    path.write_bytes(content)
    return lambda: checkpoint.load(path), len(content) + 7 * len(raw)


ATTACKS = {
    "idx": attack_idx,
    "checkpoint": attack_checkpoint,
    **fuzz_runs.ATTACKS,
    **fuzz_data.ATTACKS,
    **fuzz_weights.ATTACKS,
}


def attempt(make, folder, chance):
    """Make one file and read it. Returns "read" or "refused"; AssertionError when the reader did
    anything else.
    """
    call, size, *more = make(folder, chance)
    target, same = more or (None, None)
    tracemalloc.start()
    try:
        with _limits(target):
            found = call()
        outcome = "read"
        assert same is None or same(found), "other data than before, without an error"
    except ValueError as error:
        outcome, text = "refused", str(error)
        assert text, "an error without a word"
        if target is not None:
            assert text.isprintable(), f"not one printable line: {text!r}"
            assert visible(target) in text, f"does not name {target}: {text}"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= 4 * size + SLACK, f"{peak:,} bytes of memory for a file of {size:,}"
    assert not fuzz_arrays.TRAPS, fuzz_arrays.TRAPS.pop()
    return outcome


@contextlib.contextmanager
def _limits(target):
    """Stop after ``SECONDS`` of computing. Turn warnings into errors; those of left-out images and
    of their scale must be one printable line, and the former name ``target``.
    """

    def stop(*_):
        raise AssertionError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("error")
            for kind in (UnreadableImages, UnscaledImages):
                warnings.simplefilter("always", kind)
            yield
        for text, kind in ((str(one.message), one.category) for one in said):
            assert text.isprintable(), f"not one printable line: {text!r}"
            assert kind is UnscaledImages or visible(target) in text, text
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def fuzz(target, count, seed, bar=lambda things: things):
    """Run ``count`` attacks on a target and count the outcomes. Raises what the first that wins
    raised, naming the attack.
    """
    outcomes = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name, "work")
        folder.mkdir()
        with contextlib.chdir(folder), patched():
            if target == "cli":
                fence = Fence(folder)
                workplace(folder)
            for i in bar(range(count)):
                chance = random.Random(f"{target} {seed} {i}")
                try:
                    if target == "cli":
                        outcome = attack_cli(folder, chance, fence)
                    else:
                        outcome = attempt(
                            ATTACKS[target],
                            folder,
                            chance,
                        )
                except BaseException as error:
                    error.add_note(f"attack {i} on {target} with seed {seed}")
                    raise
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def main():
    from tqdm import tqdm

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "targets",
        nargs="*",
        choices=[*ATTACKS, "cli", []],
        help=f"{', '.join(ATTACKS)}, cli; all",
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    logging.getLogger("autocnn").setLevel(logging.ERROR)  # what is not used is said all the time
    for target in options.targets or (*ATTACKS, "cli"):
        start = time.perf_counter()
        outcomes = fuzz(
            target,
            options.count,
            options.seed,
            lambda things, target=target: tqdm(things, target, disable=None),
        )
        told = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(outcomes.items(), key=str))
        print(f"{target}: {options.count:,} attacks, {told}; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
