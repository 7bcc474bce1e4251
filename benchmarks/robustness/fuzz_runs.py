"""Hostile run folders, sweeps and images, for the fuzzer. Each function makes one and returns the
call that reads it, and a quarter of the memory that it may take.
"""

import io
import json
import pathlib
import shutil
import tempfile

import numpy as np

from autocnn import runs
from autocnn.runs import image_files, recipes
from autocnn.sweeps.store import Store
from benchmarks.robustness.mutate import dumped, mutated, mutated_json

__all__ = ["ATTACKS"]

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
    call = chance.choice((runs.read_config, _same_config, runs.verify))
    return _in_folder(folder, files | {"config.json": content}, call), ROOM


def _same_config(folder):
    """Load a run. Of a config that was changed, the place of the data and the number of epochs may
    be used; all else is what its checkpoint has.
    """
    found, whole = runs.load(folder).config, _whole_config()
    assert not found.differences(whole), found.differences(whole)


def _whole_config(known=[]):  # noqa: B006 (made once, from nothing)
    if not known:
        with tempfile.TemporaryDirectory() as name:
            (pathlib.Path(name) / "config.json").write_bytes(a_run()["config.json"])
            known.append(runs.read_config(name))
    return known[0]


def attack_history(folder, chance):
    """Make a run folder with a hostile history.csv; return the call that mends it."""
    files = dict(a_run())
    whole = files["history.csv"]
    content = mutated(whole, chance)
    return _in_folder(folder, files | {"history.csv": content}, lambda run: _mend(run, whole)), ROOM


def _mend(folder, whole):
    """A changed history is named, and written anew."""
    path = folder / "history.csv"
    named = [row["file"] for row in runs.verify(folder) if row["ok"] is False]
    assert named == ([] if path.read_bytes() == whole else [path.name]), named
    runs.recover(folder)
    assert path.read_bytes() == whole, "the history was not mended"


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
    "config": attack_config,
    "history": attack_history,
    "sweep": attack_sweep,
    "image": attack_image,
}
