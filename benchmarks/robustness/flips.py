"""Bit flips: random bits of every file of a run folder change, one at a time; how many are said,
with the file and the tensor, and how many runs go on to the bits of a run that nobody disturbed.

    python -m benchmarks.robustness.flips [FLIPS] [SEED]                            # 10,000

Each flip hits a folder whose run stands at epoch 3 of 5. ``autocnn verify`` must name the file, and
the tensor if the bit is one of a tensor's; ``autocnn train --run`` then goes on, and its files are
compared with those of the whole run. A figure counts as said only: it is drawn anew.
"""

import contextlib
import io
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

from PIL import Image

from autocnn import runs
from autocnn.cli import app, output
from autocnn.plots import training as plots

CALL = "train tiny-cnn --data patterns --limit 12 --epochs 5 --batch-size 6 --rate 0.01 --run"
FIGURES = ("curves.png", "confusion.png", "mistakes.png")


class Figure:
    """A small image in place of a figure, which would take longer than all the rest."""

    def savefig(self, file, format, metadata):
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        for key, value in metadata.items():
            text.add_text(key, value)
        Image.new("L", (8, 8)).save(file, format, pnginfo=text)


def autocnn(*words):
    """Run a command in this process. Returns (exit code, what it printed)."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = app([str(word) for word in words], standalone_mode=False)
    return code or 0, said.getvalue()


def files(folder):
    """The content of all files of a folder but the figures, by name."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in FIGURES}


def tensor_at(content, byte):
    """The name of the tensor that a byte of a safetensors file belongs to, None in its header."""
    start = 8 + int.from_bytes(content[:8], "little")
    for name, about in json.loads(content[8:start]).items():
        begin, end = about.get("data_offsets", (0, 0))
        if name != "__metadata__" and begin <= byte - start < end:
            return name
    return None


def attack(part, whole, folder, draw):
    """Flip one bit of a copy of ``part``. Returns (file, tensor, named, same bits at the end)."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(part, folder)
    path = folder / draw.choice(sorted(p.name for p in part.iterdir()))
    content = bytearray(path.read_bytes())
    start = 0
    if path.suffix == ".safetensors" and draw.random() < 0.6:  # in the tensors, not in the header
        start = 8 + int.from_bytes(content[:8], "little")
    bit = draw.randrange(8 * start, 8 * len(content))
    tensor = tensor_at(content, bit // 8) if path.suffix == ".safetensors" else None
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    rows = {row["file"]: row for row in runs.verify(folder) if row["ok"] is False}
    named = path.name in rows and rows[path.name]["tensors"] == ([tensor] if tensor else [])
    code, said = autocnn("train", "--run", folder)
    if path.suffix != ".png":
        named = named and path.name in said and (tensor is None or f"'{tensor}'" in said)
    return path.name, tensor, named, code == 0 and files(folder) == whole


def main(flips=10_000, seed=0):
    """Print how many flips were said, and how many runs went on to the same bits."""
    for name in ("curves", "confusion", "mistakes"):
        setattr(plots, name, lambda *args: Figure())
    os.fsync = lambda descriptor: None  # nothing here depends on it, and it takes half of the time
    output.log_to_stderr()
    draw, named, same, tensors, began = random.Random(seed), 0, 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        from autocnn.runs import config_file

        config_file.new_identity = lambda: "0" * 32  # of both folders: they are one run
        autocnn(*CALL.split(), root / "part", "--until", 3)
        autocnn(*CALL.split(), root / "whole")
        whole = files(root / "whole")
        for i in range(flips):
            name, tensor, was_named, was_same = attack(root / "part", whole, root / "run", draw)
            named, same, tensors = named + was_named, same + was_same, tensors + bool(tensor)
            if not (was_named and was_same):
                print(f"flip {i}: {name}, {tensor}: named {was_named}, same bits {was_same}")
    print(
        f"{flips:,} flips, {tensors:,} of them in tensors: {named:,} said, {same:,} went on to the "
        f"same bits; {time.monotonic() - began:.0f} s"
    )
    return named == same == flips


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
