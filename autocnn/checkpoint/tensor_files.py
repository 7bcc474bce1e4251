"""Named tensors in files of other programs: safetensors, NumPy's .npz, and torch's .pth and .pt.

    with open_named("resnet50.pth") as tensors:
        tensors["conv1.weight"].read()                         # (64, 3, 7, 7), float32

The content tells the format, not the name. Files of torch are read by torch itself with
``weights_only=True``, which runs no code of theirs.
"""

import contextlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autocnn.checkpoint.format import open_tensors
from autocnn.numpy_files import Member, check_sums, is_npz, open_npz
from autocnn.text import visible
from autocnn.typing import Array

__all__ = ["FLOATS", "Entry", "open_named"]

FLOATS = ("BF16", "F16", "F32", "F64")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights")
KINDS = {
    "bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64", "bool": "BOOL",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8",
}  # fmt: skip


class Entry(NamedTuple):
    """A tensor that is not read yet.

    kind: its dtype as safetensors has it, "BF16", "F16", "F32", "F64", "I64", ... read: a function
    that returns it as an array; bfloat16 and float16 become float32, whose numbers include theirs.
    """

    shape: tuple[int, ...]
    kind: str
    read: Callable[[], Array]


@contextlib.contextmanager
def open_named(path: str | Path) -> Iterator[Mapping[str, Entry]]:
    """Open a file of named tensors for a ``with`` block.

    Of a file of torch, the tensors are those of {"state_dict": ...}, {"model": ...} or the like, or
    the file's own. FileNotFoundError if there is no file; ValueError in one line for other files,
    and for one of torch that holds a whole module; ImportError where torch is needed and missing.
    """
    path = Path(path)
    if not path.is_file():
        with open_tensors(path):  # whose errors say why
            raise AssertionError
    with open(path, "rb") as file:
        start = file.read(8)
    if start[:4] == b"\x89HDF":
        raise ValueError(
            f"{path} is an HDF5 file, as Keras writes; save its arrays by np.savez(path, **arrays)"
        )
    if start[:2] == b"PK" and is_npz(path):
        with _open_npz(path) as entries:
            yield entries
    elif start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04"):
        yield _torch_entries(path)
    else:
        with open_tensors(path) as tensors:
            names = tensors.keys()
            yield {name: _safetensors_entry(path, tensors, name) for name in names}


def _widened(a: np.ndarray) -> np.ndarray:
    return a.astype(np.float32) if a.dtype == np.float16 else np.asarray(a)


def _safetensors_entry(path: Path, tensors: Any, name: str) -> Entry:
    found = tensors.get_slice(name)
    shape, kind = tuple(found.get_shape()), found.get_dtype()
    if kind == "BF16":
        return Entry(shape, kind, lambda: _bfloat16(path, name).reshape(shape))
    return Entry(shape, kind, lambda: _widened(tensors.get_tensor(name)))


def _bfloat16(path: Path, name: str) -> np.ndarray:
    """Read a tensor that NumPy has no dtype for: the upper halves of float32 numbers."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        begin, end = json.loads(file.read(size))[name]["data_offsets"]
        file.seek(8 + size + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32)


@contextlib.contextmanager
def _open_npz(path: Path) -> Iterator[dict[str, Entry]]:
    with open_npz(path) as members:

        def entry(member: Member) -> Entry:
            return Entry(member.shape, _kind(member.dtype.name), lambda: _widened(member.read()))

        yield {name: entry(member) for name, member in members.items()}


def _kind(dtype: str) -> str:
    return KINDS.get(dtype, dtype)


def _torch_entries(path: Path) -> dict[str, Entry]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} is a file of torch, which reads it: pip install 'autocnn[torch]'; or write a "
            "safetensors file where torch is installed, by safetensors.torch.save_file(state_dict, "
            "path)"
        ) from error
    with open(path, "rb") as file:
        is_archive = file.read(2) == b"PK"
    if is_archive:
        try:
            check_sums(path)  # which torch does not
        except ValueError as error:
            why = visible(error).removeprefix(f"{path} is damaged: ")
            raise ValueError(f"{path} is damaged, or not a file of torch: {why}") from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged pickle raises
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise ValueError(
                f"{path} holds more than tensors, such as a whole module, which only running its "
                "code could load; save torch.save(model.state_dict(), path) in its place"
            ) from error
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{path} is damaged, or not a file of torch: {visible(first):.100}"
        ) from error
    state_dict = _state_dict(path, found, torch.Tensor)

    def entry(tensor: Any) -> Entry:
        kind = _kind(str(tensor.dtype).removeprefix("torch."))

        def read() -> np.ndarray:
            plain = tensor.float() if kind in ("BF16", "F16") else tensor
            return np.array(plain.detach().resolve_conj().numpy())

        return Entry(tuple(tensor.shape), kind, read)

    return {name: entry(tensor) for name, tensor in state_dict.items()}


def _state_dict(path: Path, found: Any, tensor: type) -> dict[str, Any]:
    """Return {name: tensor} of what a file of torch holds, which may be wrapped."""

    def tensors_of(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            return {}
        return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, tensor)}

    here = tensors_of(found)
    inside = {k: v for k, v in found.items() if tensors_of(v)} if isinstance(found, Mapping) else {}
    for name in (*WRAPPERS, *(inside if len(inside) == 1 else ())):
        if name in inside:
            return tensors_of(inside[name])
    if here:
        return here
    if inside:
        raise ValueError(
            f"{path} holds several sets of tensors, {', '.join(map(str, inside))}; save the one of "
            'the network by itself, or as {"state_dict": ...}'
        )
    raise ValueError(
        f"{path} holds a {type(found).__name__} without tensors; save "
        "torch.save(model.state_dict(), path)"
    )
