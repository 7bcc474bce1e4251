"""Folders of image files, a folder for each class: cat/1.png, or train/cat/1.png beside val/ and
test/, as torchvision's ImageFolder and Keras' image_dataset_from_directory read them.
"""

import statistics
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autocnn.data.dataset import Dataset
from autocnn.data.layouts import Header, Layout, headers, layout, size_text
from autocnn.data.parts import Pair, Parts, check_memory, dataset
from autocnn.ops.arguments import integer
from autocnn.text import visible
from reference.warn import warn

__all__ = ["UnreadableImages", "from_folder", "read_folder"]

DEFAULT_SIDE = 64  # of images that have different sizes, unless they are smaller
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as for ``autocnn.images``


class UnreadableImages(UserWarning):
    """Files of a folder of images could not be read, and were left out."""


def from_folder(
    folder: str | Path,
    size: Any = None,
    validation: float | None = None,
    *,
    grey: bool | None = None,
    seed: Any = 0,
    dtype: DTypeLike = "float32",
) -> Dataset:
    """Make a ``Dataset`` of image files in a folder for each class.

    folder: holds cat/1.png, dog/2.jpg, ...; or train/cat/1.png, ... and, if there are any, val/ (or
        valid/, validation/) and test/ with the same classes. Classes are the folders' names in
        sorted order; images in folders inside them count. Files are taken in sorted order.
    size: (H, W), or one number for both: each image is scaled, with its proportions kept, until it
        covers that size, and what stands over on two sides is cut off evenly. Default: the size of
        all, where they have one; else a square as high as the shorter side of half of the images,
        at most 64.
    validation: the share of each class to hold out of the training images. Default: the folder's
        own validation images, or its test images if it has no others, or 0.2.
    grey: whether images have one channel instead of three. Default: if all of them are grey.
    seed: of the images that are held out. dtype: of the images, float32 or float64.

    Images are read as ``autocnn.images.read`` does: turned upright by their EXIF orientation,
    transparency laid over white or black, 16 bits rounded to 8. Those that cannot be read are left
    out, with one ``UnreadableImages`` warning that names them. What was chosen and left out is in
    the data set's ``notes``. ValueError for a folder without class folders, and for more images
    than fit into memory.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return dataset(read_folder(path, size, grey), str(path), validation, seed, dtype)


def read_folder(folder: Path, size: Any = None, grey: bool | None = None) -> Parts:
    """Read a folder of class folders; see ``from_folder``."""
    found = layout(folder)
    files = [path for listed in found.parts.values() for path, _ in listed]
    heads = headers(files)
    if not heads:
        raise ValueError(f"{folder}: none of its {len(files)} image files can be read")
    (height, width), notes = _size(size, heads)
    all_grey = grey if grey is not None else all(header.grey for header in heads)
    channels = 1 if all_grey else 3
    check_memory(
        len(heads) * channels * height * width,
        f"{folder}: {len(heads):,} images of {channels}x{height}x{width}",
        "pass a smaller size",
    )
    notes += _left_out(found, sum(header.deep for header in heads))
    unreadable, pairs = {}, {}
    for part, listed in found.parts.items():
        images, labels = [], []
        for path, label in listed:
            try:
                images.append(_read(path, (height, width), grey))
                labels.append(label)
            except ValueError as error:
                unreadable[path] = str(error).removeprefix(f"{path} ")
        if images:
            pairs[part] = _stacked(images), np.array(labels)
    if "train" not in pairs:
        raise ValueError(f"{folder}: none of its training images can be read")
    if unreadable:
        notes.append(_unreadable(unreadable, len(files)))
        warn(visible(f"{folder}: {notes[-1]}"), UnreadableImages)
    pairs = _one_depth(pairs, grey)
    return Parts(pairs["train"], pairs.get("val"), pairs.get("test"), found.classes, tuple(notes))


def _left_out(found: Layout, deep: int) -> list[str]:
    """Notes about files that are not used, or not as they are."""
    notes = [f"{deep} images of 16 bits were rounded to 8"] if deep else []
    loose = ("file is in no class folder", "files are in no class folder")
    others = ("file is not an image", "files are not images")
    for paths, (one, more) in ((found.loose, loose), (found.others, others)):
        if len(paths) == 1:
            notes.append(f"1 {one} and was left out: {paths[0]}")
        elif paths:
            notes.append(f"{len(paths)} {more} and were left out, such as {paths[0]}")
    return notes


def _size(size: Any, heads: list[Header]) -> tuple[tuple[int, int], list[str]]:
    """Return (H, W) for all images, and a note about it."""
    found = sorted({header.size for header in heads})
    if size is None and len(found) == 1:
        return found[0], []
    if size is None:
        shorter = statistics.median_low(min(header.size) for header in heads)
        size = min(shorter, DEFAULT_SIDE)
    height, width = size if isinstance(size, tuple | list) else (size, size)
    height, width = integer(height, "size"), integer(width, "size")
    if found == [(height, width)]:
        return (height, width), []
    note = (
        f"images of {size_text(heads)} (width x height) were scaled to cover {width}x{height}, and "
        "what stood over at the sides was cut off evenly"
    )
    return (height, width), [note]


def _read(path: Path, size: tuple[int, int], grey: bool | None) -> np.ndarray:
    """Read an image as bytes (H, W) or (H, W, 3) of that size."""
    from PIL import Image, ImageOps

    from autocnn.images import read

    x = read(path)
    if grey and x.ndim == 3:
        x = x @ LUMA
    pixels = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
    if pixels.shape[:2] != size:
        image = ImageOps.fit(Image.fromarray(pixels), size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    return pixels


def _stacked(images: list[np.ndarray]) -> np.ndarray:
    """Images (N, 1, H, W) if all are grey, else (N, 3, H, W)."""
    if all(image.ndim == 2 for image in images):
        return np.stack(images)[:, None]
    result = np.empty((len(images), 3, *images[0].shape[:2]), np.uint8)
    for k, image in enumerate(images):
        result[k] = image if image.ndim == 2 else image.transpose(2, 0, 1)
    return result


def _one_depth(pairs: dict[str, Pair], grey: bool | None) -> dict[str, Pair]:
    """Give all parts three channels where one has them, or they are asked for."""
    if grey is not False and len({x.shape[1] for x, _ in pairs.values()}) == 1:
        return pairs
    return {
        part: (np.repeat(x, 3, axis=1) if x.shape[1] == 1 else x, y)
        for part, (x, y) in pairs.items()
    }


def _unreadable(unreadable: dict[Path, str], total: int) -> str:
    shown = [f"{path} ({why})" for path, why in list(unreadable.items())[:3]]
    more = f", and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    return (
        f"{len(unreadable)} of {total} image files cannot be read and were left out: "
        f"{', '.join(shown)}{more}"
    )
