"""Attack the program with broken input: IDX files, checkpoints and command lines, mutated at
random.

    python -m benchmarks.robustness.fuzz                                        # 20,000 of each
    python -m benchmarks.robustness.fuzz checkpoint --count 1000 --seed 5

Whatever comes, a reader may return or raise ValueError, and may hold no more memory than four times
the file: of a gzipped one, of what it unpacks to; of a checkpoint, 30 times what its header has of
JSON, which is at most 4 MB and grows when it becomes Python's dicts and lists. The command line may
end with 0, 1 or 2, or with 130 when it trained until a timer pressed Ctrl-C, says what is wrong
without a traceback, and writes nothing outside of the folder that it runs in.
"""

import argparse
import contextlib
import gzip
import io
import json
import logging
import pathlib
import random
import shutil
import struct
import tempfile
import time
import tracemalloc
import zlib

import numpy as np

from autocnn import checkpoint, models, optim, runs
from autocnn.data import idx
from autocnn.runs import image_files, recipes
from autocnn.sweeps.store import Store
from benchmarks.robustness.fuzz_cli import Fence, attack_cli, patched, workplace
from benchmarks.robustness.mutate import INTS, dumped, mutated, mutated_json

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


ROOM = 1 << 24  # what a run folder may take: libraries that are imported late count too


def a_run(known=[]):  # noqa: B006 (made once, from nothing)
    """The files of a small run, by name."""
    if not known:
        config = runs.RunConfig(
            network="tiny-cnn",
            data="patterns",
            classes=("a", "b", "c"),
            shape=(1, 8, 8),
            recipe=recipes.Recipe(epochs=2),
            steps_per_epoch=1,
        )
        with tempfile.TemporaryDirectory() as name:
            folder, config = pathlib.Path(name), runs.with_identity(config)
            runs.write_config(folder, config)
            now = runs.initialize(config)[2]
            for i in range(2):
                history = {n: [0.5] * (i + 1) for n in ("train_loss", "train_acc", "val_loss")}
                history = {"epoch": [*range(i + 1)], **history, "val_acc": [0.1, 0.2][: i + 1]}
                now = now._replace(step=i, history=history)
                runs.save(folder, now, "last", config)
                runs.save(folder, now, "best", config)
            known.append({p.name: p.read_bytes() for p in folder.iterdir()})
    return known[0]


def attack_config(folder, chance):
    """Make a run folder with a hostile config.json, half of the time without a sum or checkpoint;
    return the call that reads it.
    """
    files = dict(a_run())
    content = files["config.json"]
    if chance.random() < 0.7:
        values = json.loads(content)
        if chance.random() < 0.5:
            del values["sha256"], values["run"]
        content = dumped(mutated_json(values, chance))
    else:
        content = mutated(content, chance)
    if chance.random() < 0.5:
        files = {"best.safetensors": files["best.safetensors"]}
    call = chance.choice((runs.read_config, runs.load, runs.verify))
    return _in_folder(folder, files | {"config.json": content}, call), ROOM


def attack_history(folder, chance):
    """Make a run folder with a hostile history.csv; return the call that verifies or mends it."""
    files = dict(a_run())
    content = mutated(files["history.csv"], chance)
    call = chance.choice((runs.verify, runs.recover))
    return _in_folder(folder, files | {"history.csv": content}, call), ROOM


def attack_sweep(folder, chance):
    """Make a hostile file of a sweep's results; return the call that opens it."""
    sweep = {"build": "tiny_cnn", "data": "patterns", "varied": ["filters"], "epochs": 1}
    lines = [{"sweep": sweep}]
    result = {"parameters": 4, "train_loss": 1.5, "val_acc": 0.5}
    lines += [{"trial": {"filters": i, "seed": 0}, "result": result} for i in range(3)]
    if chance.random() < 0.5:
        i = chance.randrange(4)
        lines[i] = mutated_json(lines[i], chance)
    content = b"".join(dumped(line) + b"\n" for line in lines)
    if chance.random() < 0.5:
        content = mutated(content, chance)
    path = folder / "trials.jsonl"
    path.write_bytes(content)
    return lambda: Store(path, sweep).close(), ROOM


def attack_image(folder, chance, known=[]):  # noqa: B006 (made once, from nothing)
    """Make a hostile image; return the call that reads it."""
    from PIL import Image

    if not known:
        pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
        for kind in ("png", "gif", "bmp", "jpeg", "webp", "tiff"):
            stored = io.BytesIO()
            Image.fromarray(pixels).save(stored, kind)
            known.append((kind, stored.getvalue()))
    kind, content = chance.choice(known)
    path = folder / f"image.{kind}"
    path.write_bytes(mutated(content, chance))
    return lambda: image_files.read(path), 1 << 28


def _in_folder(folder, files, call):
    shutil.rmtree(folder / "run", ignore_errors=True)
    (folder / "run").mkdir()
    for name, content in files.items():
        (folder / "run" / name).write_bytes(content)
    return lambda: call(folder / "run")


ATTACKS = {
    "idx": attack_idx,
    "checkpoint": attack_checkpoint,
    "config": attack_config,
    "history": attack_history,
    "sweep": attack_sweep,
    "image": attack_image,
}


def attempt(make, folder, chance):
    """Make one file and read it. Returns "read" or "refused"; AssertionError when the reader did
    anything else.
    """
    call, size = make(folder, chance)
    tracemalloc.start()
    try:
        call()
        outcome = "read"
    except ValueError as error:
        outcome = "refused"
        assert str(error), "an error without a word"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= 4 * size + SLACK, f"{peak:,} bytes of memory for a file of {size:,}"
    return outcome


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
