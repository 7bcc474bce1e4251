"""Hostile .npz and .npy files, for the fuzzer, and what attacks on data have in common.

Each function makes one file or folder and returns an ``Attack``. A file whose form has sums (zip,
gzip, zlib, PNG) must not load with other pixels or labels after its bytes were changed.
"""

import functools
import io
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autocnn import data as datasets
from benchmarks.robustness.mutate import INTS, mutated

__all__ = [
    "ATTACKS",
    "DAMAGE_ROOM",
    "TRAPS",
    "Attack",
    "Trap",
    "arrays",
    "fresh",
    "hostile_array",
    "load",
    "npy",
    "npz",
    "print_of",
    "same_as",
]

DAMAGE_ROOM = 1 << 20  # what a reader may hold besides the data
TRAPS: list[str] = []


class Attack(NamedTuple):
    """call: reads the file. room: bytes, a quarter of what it may hold. target: what an error must
    name. same: whether what was read is what the file held before, None where no sum tells.
    """

    call: Callable[[], Any]
    room: int
    target: Path
    same: Callable[[Any], bool] | None = None


class Trap:
    """An object whose pickle says that it was run."""

    def __reduce__(self) -> tuple:
        return TRAPS.append, ("a pickle was run",)


@functools.cache
def arrays() -> dict[str, np.ndarray]:
    """A small data set, as bytes."""
    draw = np.random.default_rng(8)
    return {
        "x_train": draw.integers(0, 256, (12, 8, 8), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": draw.integers(0, 256, (6, 8, 8), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }


def print_of(data: datasets.Dataset) -> tuple:
    """What two equal data sets have in common, without the notes."""
    parts = [data.x_train, data.y_train, data.x_val, data.y_val, data.x_test, data.y_test]
    held = [None if a is None else (a.shape, a.dtype.str, a.tobytes()) for a in parts]
    return data.classes, *held


def load(path: Path) -> tuple:
    return print_of(datasets.load(path))


def same_as(make: Callable[[Path], None], folder: Path, name: str) -> Callable[[Any], bool]:
    """Compare with what the files hold as ``make`` writes them, undamaged."""
    return lambda found: found == _before(make, folder, name)


@functools.cache
def _before(make: Callable[[Path], None], folder: Path, name: str) -> tuple:
    place = fresh(folder / "before")
    make(place)
    try:
        return load(place / name)
    finally:
        shutil.rmtree(place)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


# ------------------------------------------------------------------- arrays


def npy(array: np.ndarray, header: str | None = None, version: int = 1) -> bytes:
    """A .npy file, with a header of one's own."""
    if header is None:
        stored = io.BytesIO()
        np.lib.format.write_array(stored, array, allow_pickle=True)
        return stored.getvalue()
    text = header.encode("latin1") + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text) % 65536)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + array.tobytes()


def hostile_array(array: np.ndarray, chance: Any) -> bytes:
    """A .npy file that lies about its array, or has one that nothing can use."""
    few = array.shape
    match chance.randrange(8):
        case 0:
            return npy(np.array([Trap()] * len(array), object))
        case 1:  # a shape that promises too much or too little
            k = chance.randrange(len(few))
            sizes = (*INTS, -1, -8, True, 10**30, "'8'", "8L", 1.0, None)
            shape = [*map(str, few)]
            shape[k] = str(chance.choice(sizes))
            return npy(array, _header(array.dtype.str, ", ".join(shape) + ","))
        case 2:
            kinds = ("|O", "<U0", "|V0", "<c16", "<m8[s]", "<f16", "|S1", "<U9999999", ">i2", "zz")
            return npy(array, _header(chance.choice(kinds), ", ".join(map(str, few)) + ","))
        case 3:
            descr = chance.choice(
                ("[('a', '|O')]", "[('a', '<u4', (99999, 99999))]", "('|u1', (1000000000,))")
            )
            return npy(array, f"{{'descr': {descr}, 'fortran_order': False, 'shape': {few}, }}")
        case 4:  # a literal that is hard to parse
            deep = chance.choice(("[" * 4000, "-" * 5000 + "1", "(" * 90 + ")" * 90, "9" * 5000))
            return npy(array, _header(array.dtype.str, deep), chance.choice((1, 2, 3, 9)))
        case 5:
            values = array.astype(chance.choice((np.float64, np.float32, np.float16)))
            odd = (np.nan, np.inf, -np.inf, 1e300, -1.0, 0.5, 2.0**63, 1e-320)
            with np.errstate(over="ignore"):
                values.reshape(-1)[chance.randrange(values.size)] = chance.choice(odd)
            return npy(values)
        case 6:
            words = np.array(chance.choice((["a\nb"], ["\0"], ["x" * 999], [b"\xff"], [""])))
            return npy(np.resize(words, len(array)))
        case _:
            shapes = ((0,), (), (len(array), 0), (len(array), 1), (1, *few), (*few, 1, 1))
            return npy(np.resize(array, chance.choice(shapes)))


def _header(descr: str, shape: str) -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}"


def npz(files: dict[str, bytes], packed: bool) -> bytes:
    """A zip archive of these members."""
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", 8 if packed else 0) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, 8 if packed else 0)
    return stored.getvalue()


def _plain_npz(place: Path, packed: bool) -> None:
    files = {f"{name}.npy": npy(array) for name, array in arrays().items()}
    (place / "d.npz").write_bytes(npz(files, packed))


STORED = functools.partial(_plain_npz, packed=False)
PACKED = functools.partial(_plain_npz, packed=True)


def attack_npz(folder: Path, chance: Any) -> Attack:
    place, make = fresh(folder / "npz"), chance.choice((STORED, PACKED))
    path = place / "d.npz"
    if chance.random() < 0.5:
        make(place)
        content = mutated(path.read_bytes(), chance, 1 + chance.randrange(3))
        path.write_bytes(content)
        return Attack(
            lambda: load(path), len(content) + DAMAGE_ROOM, path, same_as(make, folder, "d.npz")
        )
    files = {f"{name}.npy": npy(array) for name, array in arrays().items()}
    name = chance.choice([*files])
    what = chance.randrange(5)
    if what <= 2:
        files[name] = hostile_array(arrays()[name[:-4]], chance)
    elif what == 3:  # zeros, which shrink a thousandfold
        files[chance.choice((name, "spare.npy"))] = npy(np.zeros((12, 200, 200, 3), np.uint8))
    else:
        odd = ("../x.npy", "/x.npy", "a/b.npy", "x_train.npy.npy", "x\n.npy", "X_TRAIN.npy", ".npy")
        files[chance.choice(odd)] = chance.choice((files[name], b"", b"PK", b"\x80\x04."))
    content = npz(files, make is PACKED)
    path.write_bytes(content)
    if chance.random() < 0.2:
        with open(path, "r+b") as file:  # the uncompressed size in the central directory
            at = content.rindex(b"PK\x01\x02") + 24
            file.seek(at)
            file.write((chance.choice(INTS) % 2**32).to_bytes(4, "little"))
    room = len(content) + sum(map(len, files.values())) + DAMAGE_ROOM
    return Attack(lambda: load(path), room, path)


def attack_npy(folder: Path, chance: Any) -> Attack:
    place = fresh(folder / "npy")
    for name, array in arrays().items():
        (place / f"{name}.npy").write_bytes(npy(array))
    path = place / f"{chance.choice([*arrays()])}.npy"
    if chance.random() < 0.5:
        content = mutated(path.read_bytes(), chance)
    else:
        content = hostile_array(arrays()[path.stem], chance)
    path.write_bytes(content)
    return Attack(lambda: load(path if chance.random() < 0.5 else place), DAMAGE_ROOM, place)


ATTACKS = {"npz": attack_npz, "npy": attack_npy}
