"""Messages: a line of JSON, and behind it the numbers of the arrays that it mentions.

    {"id": 7, "pixels": {"$": 0, "shape": [1, 8, 8], "type": "float32"}}    \\n
    <256 bytes>

``$`` is where an array begins, in bytes behind the line. The line is filled up with spaces to a
multiple of four bytes, and so is each array, so that a browser can look at the numbers in place.
Little-endian float32, and uint8 for flags.
"""

import json
import math
from typing import Any

import numpy as np

from autocnn.text import strict_json

__all__ = ["MAX_MESSAGE", "decode", "encode"]

MAX_MESSAGE = 16 * 2**20  # bytes, of an image file for the most part
MAX_ARRAYS = 16


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as bytes. Its values are what JSON knows, NumPy arrays and named tuples."""
    parts: list[bytes] = []
    size = 0

    def plain(value: Any) -> Any:
        nonlocal size
        if isinstance(value, np.ndarray):
            kind = "uint8" if value.dtype.kind in "bu" else "float32"
            with np.errstate(over="ignore"):
                data = np.ascontiguousarray(value, "<f4" if kind == "float32" else "u1").tobytes()
            data += bytes(-len(data) % 4)
            parts.append(data)
            size += len(data)
            return {"$": size - len(data), "shape": list(value.shape), "type": kind}
        if hasattr(value, "_asdict"):
            value = value._asdict()
        if isinstance(value, dict):
            return {str(key): plain(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        return value

    head = strict_json(plain(message)).encode()
    head += b" " * (-(len(head) + 1) % 4) + b"\n"
    return b"".join([head, *parts])


def decode(data: Any) -> dict[str, Any]:
    """Return the message that bytes hold. ValueError, of one line, for any other bytes."""
    if not isinstance(data, bytes):
        raise ValueError("a message is binary: a line of JSON, and arrays behind it")
    if len(data) > MAX_MESSAGE:
        raise ValueError(f"the message has {len(data):,} bytes, more than {MAX_MESSAGE:,}")
    line, _, rest = data.partition(b"\n")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("the message does not begin with a line of JSON") from None
    if not isinstance(message, dict):
        raise ValueError("the message's line is not a JSON object")
    references = [v for v in message.values() if isinstance(v, dict) and "$" in v]
    if len(references) > MAX_ARRAYS:
        raise ValueError(f"the message mentions more than {MAX_ARRAYS} arrays")
    return {
        key: _array(key, value, rest) if isinstance(value, dict) and "$" in value else value
        for key, value in message.items()
    }


def _array(name: str, reference: dict[str, Any], rest: bytes) -> np.ndarray:
    begin, shape, kind = (reference.get(key) for key in ("$", "shape", "type"))
    is_shape = isinstance(shape, list) and all(type(n) is int and 0 <= n < 2**31 for n in shape)
    if type(begin) is not int or begin < 0 or not is_shape or kind not in ("float32", "uint8"):
        raise ValueError(f"the message's array {name:.40} has no offset, shape and type")
    dtype = np.dtype("<f4" if kind == "float32" else "u1")
    count = math.prod(shape)
    if begin + count * dtype.itemsize > len(rest):
        raise ValueError(f"the message's array {name:.40} of {shape} is longer than the message")
    return np.frombuffer(rest, dtype, count, begin).reshape(shape)
