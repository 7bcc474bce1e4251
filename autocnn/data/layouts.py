"""What a folder of image files holds: parts, classes, files and their sizes."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from autocnn.text import shape_text

__all__ = ["Header", "Layout", "headers", "layout", "size_text"]

SUFFIXES = frozenset(
    f".{name}"
    for name in "png jpg jpeg jpe jfif bmp gif tif tiff webp ppm pgm pbm pnm".split()  # noqa: SIM905
)
PARTS = {
    "train": {"train", "training"},
    "val": {"val", "valid", "validation", "dev"},
    "test": {"test", "testing"},
}
GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L", "LA")
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF


class Layout(NamedTuple):
    """What a folder holds: {part: [(file, index of its class)]} and the classes.

    loose: image files in no class folder. others: files beside the images that are none.
    """

    parts: dict[str, list[tuple[Path, int]]]
    classes: tuple[str, ...]
    loose: tuple[Path, ...]
    others: tuple[Path, ...]


class Header(NamedTuple):
    """Size (H, W) of an image file, turned upright, and whether its mode is grey or of 16 bits."""

    size: tuple[int, int]
    grey: bool
    deep: bool


def layout(folder: Path) -> Layout:
    """Return what image files a folder holds, by part and class; ValueError when they are not in a
    folder for each class.
    """
    root = _unwrapped(folder)
    tops = {
        part: found
        for part, names in PARTS.items()
        if (found := next((one for one in _folders(root) if one.name.lower() in names), None))
    }
    if "train" not in tops or not _folders(tops["train"]):
        tops = {"train": root}
    train = tops["train"]
    classes = tuple(one.name for one in _folders(train) if any(map(_is_image, _below(one))))
    loose = [path for top in tops.values() for path in _files(top) if _is_image(path)]
    if len(classes) < 2:
        raise ValueError(
            f"{train} holds {len(loose)} image files and {len(classes)} folders of images; two or "
            "more classes are needed, a folder for each: cat/1.png, dog/2.png, or "
            "train/cat/1.png, ..."
        )
    indices = {name: k for k, name in enumerate(classes)}
    parts: dict[str, list[tuple[Path, int]]] = {}
    others: list[Path] = []
    for part, top in tops.items():
        files: list[tuple[Path, int]] = []
        for one in _folders(top):
            images: list[Path] = []
            for path in _below(one):
                (images if _is_image(path) else others).append(path)
            if images and one.name not in indices:
                raise ValueError(
                    f"{one} holds images of a class that {train} does not have; a network cannot "
                    "learn it: give training images of every class"
                )
            files += [(path, indices[one.name]) for path in images]
        if files:
            parts[part] = files
    return Layout(parts, classes, tuple(loose), tuple(others))


def headers(files: Sequence[Path]) -> list[Header]:
    """Read the headers of those image files that have one that Pillow reads."""
    from PIL import Image

    from autocnn.images.reading import check_png  # takes SciPy along

    found = []
    for path in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about metadata and large images
                with Image.open(path) as image:
                    if image.format == "PNG":  # getexif reads all of its parts
                        check_png(path)
                    sideways = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
                    size = image.size if sideways else image.size[::-1]
                    deep = image.mode.startswith("I")
                    found.append(Header(size, image.mode in GREY_MODES, deep))
        except Exception:  # Pillow raises anything for damaged files; reading them says what it is
            continue
    return found


def size_text(found: Sequence[Header]) -> str:
    """Return the sizes of images as "64x48", or "64x48 to 640x480", width x height, the smallest
    and the largest by their number of pixels.
    """
    ends = sorted({header.size[::-1] for header in found}, key=lambda size: size[0] * size[1])
    return " to ".join(shape_text(end, "x") for end in dict.fromkeys((ends[0], ends[-1])))


def _unwrapped(folder: Path) -> Path:
    """Go down through folders that hold one folder and nothing else, as archives leave them."""
    while True:
        inside = _folders(folder)
        if len(inside) != 1 or any(_files(folder)) or not _folders(inside[0]):
            return folder
        folder = inside[0]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _folders(folder: Path) -> list[Path]:
    return sorted(
        one for one in folder.iterdir() if one.is_dir() and not one.name.startswith((".", "__"))
    )


def _files(folder: Path) -> Iterator[Path]:
    return (
        one for one in sorted(folder.iterdir()) if one.is_file() and not one.name.startswith(".")
    )


def _below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
