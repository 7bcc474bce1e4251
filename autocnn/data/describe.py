"""What a file or folder of data holds, in words, without decoding its images."""

from pathlib import Path
from typing import Any

from autocnn.data.forms import form_of, load_path
from autocnn.data.layouts import headers, layout, size_text
from autocnn.text import shape_text

__all__ = ["described", "sentence"]

NAMES = {
    "idx": "IDX files",
    "images": "image files in class folders",
    "cifar": "CIFAR's binary version",
    "npz": "arrays (.npz)",
    "npy": "arrays (.npy)",
    "mat": "MATLAB arrays",
    "table": "a table of pixels",
    "tables": "tables of pixels",
}
PARTS = {"train": "training", "val": "validation", "test": "test"}
SMALL = 16  # pixels of the shorter side, below which lenet5 does not fit


def described(path: Path) -> dict[str, Any]:
    """Return what a file or folder holds, as plain values: its "form", "classes" (names), "images"
    {part: number}, "sizes" (width x height of the smallest and the largest), "notes" and a
    "network" that fits. ValueError for what ``data.load`` cannot read.
    """
    form = form_of(path)
    if form == "images":
        found = layout(path)
        images = {part: len(files) for part, files in found.parts.items()}
        heads = headers([file for files in found.parts.values() for file, _ in files])
        if not heads:
            raise ValueError(f"{path}: none of its {sum(images.values())} image files can be read")
        sizes, shorter = size_text(heads), min(min(head.size) for head in heads)
        notes = []
        if (unread := sum(images.values()) - len(heads)) > 0:
            notes.append(f"{unread} image files cannot be read")
        for paths, what in ((found.loose, "in no class folder"), (found.others, "not images")):
            if paths:
                notes.append(f"{len(paths)} files are {what}, such as {paths[0]}")
        counts, classes = images, found.classes
    else:
        data = load_path(path, "float32")
        parts = {"train": data.x_train, "val": data.x_val, "test": data.x_test}
        counts = {part: len(x) for part, x in parts.items() if x is not None}
        shape = data.x_train.shape[1:]
        sizes, shorter = shape_text(shape[:0:-1], "x"), min(shape[1:])
        classes, notes = data.classes, list(data.notes)
    network = "tiny-cnn" if shorter < SMALL else "lenet5"
    return {
        "form": form,
        "classes": list(classes),
        "images": counts,
        "sizes": sizes,
        "notes": notes,
        "network": network,
    }


def sentence(found: dict[str, Any]) -> str:
    """Return what ``described`` has found as "NAMES: 3 classes of 120 training images, ..."."""
    counts = " and ".join(f"{n:,} {PARTS[part]}" for part, n in found["images"].items())
    classes = found["classes"]
    names = ", ".join(classes[:6]) + ", ..." * (len(classes) > 6)
    return (
        f"{NAMES[found['form']]}: {len(classes)} classes ({names}), {counts} images, "
        f"{found['sizes']} pixels"
    )
