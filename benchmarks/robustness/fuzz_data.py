"""Hostile data sets, for the fuzzer: tables, folders of images, CIFAR, EMNIST, SVHN, and arrays.

Each function makes one file or folder and returns an ``Attack``.
"""

import functools
import gzip
import io
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from autocnn import data as datasets
from benchmarks.robustness import fuzz_arrays
from benchmarks.robustness.fuzz_arrays import (
    DAMAGE_ROOM,
    Attack,
    arrays,
    fresh,
    load,
    print_of,
    same_as,
)
from benchmarks.robustness.mutate import INTS, mutated

__all__ = ["ATTACKS", "giant"]

ODD_NAMES = ("a\nb", "a\x1b[2J", "ü\u202e", " ", "x" * 200, "..png", "CON", "a\tb", "-rf", "\udcff")


# ------------------------------------------------------------------- tables


def attack_csv(folder: Path, chance: Any) -> Attack:
    path = fresh(folder / "csv") / chance.choice(("train.csv", "d.txt"))
    rows = [[str(y), *map(str, x.ravel()[:16])] for x, y in zip(*_train(), strict=True)]
    delimiter, end = chance.choice(",;\t "), chance.choice(("\n", "\r\n", "\r", "\n\n"))
    if chance.random() < 0.5:
        rows.insert(0, ["label", *(f"pixel{k}" for k in range(16))])
    odd = ("", "nan", "inf", "-inf", "1e999", "0x10", "a", '"', "'", "1_0", "٣", "\0", "-1",
           "1e308", "99999999999999999999", '"a\nb"', "#", "\ufeff", "1;2", "\x85", "\u2028", " 7 ",
           "1j", "9" * 4500)  # fmt: skip
    for _ in range(chance.choice((0, 1, 2, 9))):
        row = chance.choice(rows)
        match chance.randrange(5):
            case 0 if row:
                row.pop(chance.randrange(len(row)))
            case 1:
                row.insert(chance.randrange(len(row) + 1), chance.choice(odd))
            case 2 | 3 if row:
                row[chance.randrange(len(row))] = chance.choice(odd)
            case _:
                rows[chance.randrange(len(rows))] = [chance.choice(odd)] * chance.choice((1, 17))
    if chance.random() < 0.1:
        for k in range(len(rows)):  # one column that is odd all along
            rows[k] = [chance.choice(odd), *rows[k][1:]]
    if chance.random() < 0.002:
        rows = [["1"] * 1_000_000 for _ in range(chance.choice((1, 2)))]
    text = end.join(delimiter.join(row) for row in rows) + chance.choice((end, ""))
    codec = chance.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin1"))
    content = text.encode(codec, "replace")
    if chance.random() < 0.3:
        content = mutated(content, chance)
    path.write_bytes(content)
    target = chance.choice((path, path.parent)) if path.suffix == ".csv" else path
    return Attack(lambda: load(target), 40 * len(content) + 2 * DAMAGE_ROOM, target)


def _train() -> tuple[np.ndarray, np.ndarray]:
    return arrays()["x_train"], arrays()["y_train"]


# ------------------------------------------------------------------- folders of images


@functools.cache
def png(k: int, colour: bool = False) -> bytes:
    from PIL import Image

    x, stored = _train()[0][k], io.BytesIO()
    Image.fromarray(np.stack([x, x, 255 - x], axis=-1) if colour else x).save(stored, "png")
    return stored.getvalue()


def giant(chance: Any) -> bytes:
    """A PNG whose header is whole and declares any size."""
    size = [chance.choice((1, 8, 5000, 50_000, 2**31 - 1, 2**32 - 1, 0)) for _ in range(2)]
    depth, colour = chance.choice(((8, 0), (16, 0), (8, 2), (1, 3), (8, 6), (16, 6)))
    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, chance.choice((0, 0, 1)))
    pixels = zlib.compress(bytes(chance.choice((0, 72, 100_000))))
    chunks = ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _plain_folder(place: Path) -> None:
    for k in range(6):
        path = place / "pets" / ("cat", "dog")[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(k))


def attack_folder(folder: Path, chance: Any) -> Attack:
    place = fresh(folder / "folder")
    _plain_folder(place)
    pets = place / "pets"
    path = pets / "cat" / f"{2 * chance.randrange(3)}.png"
    what, same = chance.randrange(8), None
    if what <= 2:  # images that are left out, or are as they were
        whole = path.read_bytes()
        path.write_bytes(mutated(whole, chance))
        before = same_as(_plain_folder, folder, "pets")
        same = lambda found: before(found[1]) or found[0]  # noqa: E731
    elif what == 3:
        path.write_bytes(giant(chance))
    elif what == 4:
        loop = chance.choice((pets / "cat" / "loop", pets / "dog" / "loop.png", pets / "loop"))
        loop.symlink_to(chance.choice((pets, loop, "/dev/zero", place / "nothing", pets / "dog")))
    elif what == 5:
        name = chance.choice(ODD_NAMES)
        where = chance.choice((pets / name, pets / "cat" / f"{name}.png", pets / "dog" / name))
        if where.suffix == ".png":
            where.write_bytes(chance.choice((png(1), b"", mutated(png(1), chance))))
        else:
            where.mkdir()
            (where / "1.png").write_bytes(chance.choice((png(1), b"", giant(chance))))
    elif what == 6:
        kind = chance.choice((os.mkdir, os.mkfifo, lambda p: Path(p).write_bytes(b"")))
        kind(pets / chance.choice(("cat/7.png", "bird", "x.csv", "y.npz", "train", "z.mat")))
    else:
        shutil.move(pets / "cat", pets / chance.choice(("train", "test", ".cat", "__cat", "a\nb")))
    return Attack(lambda: _load_folder(pets), 1 << 28, pets, same)


def _load_folder(path: Path) -> tuple[bool, tuple]:
    """(whether images were left out, what was read)."""
    data = datasets.load(path)
    return any("cannot be read" in note for note in data.notes), print_of(data)


# ------------------------------------------------------------------- CIFAR, EMNIST, SVHN


def attack_cifar(folder: Path, chance: Any) -> Attack:
    place = fresh(folder / "cifar")
    records = bytes(range(2)) + bytes(3072)
    kind = chance.choice((1, 2))
    records = b"".join(
        bytes(kind - 1) + bytes([k % 3]) + chance.randbytes(8) * 384 for k in range(6)
    )
    names = ("data_batch_1.bin", "test_batch.bin", "batches.meta.txt")
    names = names if kind == 1 else ("train.bin", "test.bin", "fine_label_names.txt")
    files = dict(zip(names, (records, records, b"a\nb\nc\n"), strict=True))
    name = chance.choice(names)
    files[name] = chance.choice((mutated(files[name], chance), b"", bytes(3073), b"\xff" * 3073))
    if chance.random() < 0.1:
        files[names[2]] = b"a\r\nb\0\n\n\xff\n" + b"x\n" * chance.choice((0, 5, 1000))
    for one, content in files.items():
        (place / one).write_bytes(content)
    room = 12 * sum(map(len, files.values()))
    return Attack(lambda: load(place), room + DAMAGE_ROOM, place)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def _plain_emnist(place: Path) -> None:
    for part in ("train", "test"):
        for kind, letter in (("images-idx3", "x"), ("labels-idx1", "y")):
            array = arrays()[f"{letter}_{part}"].astype(np.uint8) + (letter == "y")
            file = place / f"emnist-letters-{part}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(idx_bytes(array.astype(np.uint8)), mtime=0))
    (place / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n3 67 99\n")


def attack_emnist(folder: Path, chance: Any) -> Attack:
    place = fresh(folder / "emnist")
    _plain_emnist(place)
    path = chance.choice(sorted(place.iterdir()))
    content, same = path.read_bytes(), None
    if path.suffix == ".gz" and chance.random() < 0.7:
        content = mutated(content, chance)
        same = same_as(_plain_emnist, folder, ".")
    elif path.suffix == ".gz":
        inside = mutated(gzip.decompress(content), chance) + bytes(chance.choice((0, 0, 3_000_000)))
        content = gzip.compress(inside)
    else:
        lines = ("1 1114112 97", "1 55296 97", "² 65 97", "1 10", "99999999999999999999 65", "1 0",
                 "9" * 5000 + " 65", "1 65\x85", "2 65 66", "1 99999999999999999999")  # fmt: skip
        content = chance.choice((mutated(content, chance), chance.choice(lines).encode()))
    path.write_bytes(content)
    target = place if chance.random() < 0.5 or path.suffix == ".txt" else path
    return Attack(lambda: load(target), (1 << 22) + DAMAGE_ROOM, place, same)


@functools.cache
def mat(packed: bool) -> bytes:
    from scipy.io import savemat

    stored = io.BytesIO()
    x, y = _train()
    rgb = np.stack([x, x, 255 - x], axis=1)
    values = {"X": rgb.transpose(2, 3, 1, 0), "y": (y[:, None] + 1).astype(np.uint8)}
    savemat(stored, values, do_compression=packed)
    content = bytearray(stored.getvalue())
    content[:116] = b"MATLAB 5.0 MAT-file".ljust(116)
    return bytes(content)


def _plain_mat(place: Path) -> None:
    (place / "train_32x32.mat").write_bytes(mat(True))


def attack_mat(folder: Path, chance: Any) -> Attack:
    from scipy.io import savemat

    place = fresh(folder / "mat")
    path, what, same = place / "train_32x32.mat", chance.randrange(10), None
    packed = chance.random() < 0.5
    if what <= 6:
        content = mutated(mat(packed), chance)
        same = same_as(_plain_mat, folder, "train_32x32.mat") if packed else None
    elif what == 7:
        odd = ({"a": 1}, "words", [], np.array([1, "a"], object), np.nan, np.zeros((0, 1)), 1j)
        values = {"X": np.zeros((8, 8, 3, 12)), "y": np.arange(12)}
        values[chance.choice(("X", "y"))] = chance.choice(odd)
        stored = io.BytesIO()
        savemat(stored, values, do_compression=packed)
        content = stored.getvalue()
    elif what == 8:  # zeros behind the header, and elements in elements
        inside = bytes(chance.choice((0, 7, 8, 3_000_000)))
        if chance.random() < 0.5:
            inside = struct.pack("<II", 14, chance.choice(INTS) % 2**32) + inside
        element = zlib.compress(inside)
        content = mat(True)[:128] + struct.pack("<II", 15, len(element)) + element
    else:
        content = bytearray(mat(False))
        at = chance.randrange(128, 240)
        content[at : at + 4] = (chance.choice(INTS) % 2**32).to_bytes(4, "little")
    path.write_bytes(content)
    return Attack(lambda: load(path), (1 << 22) + DAMAGE_ROOM, place, same)


ATTACKS = {
    **fuzz_arrays.ATTACKS,
    "csv": attack_csv,
    "folder": attack_folder,
    "cifar": attack_cifar,
    "emnist": attack_emnist,
    "mat": attack_mat,
}
