"""Random numbers: every call of the checked function sees the same ones, the caller's streams stay
as they were."""

import contextlib
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

__all__ = ["ALL", "drawn_from", "keep", "rewound"]

_NUMPY = np.random.RandomState(20240229).get_state()
_PYTHON = random.Random(20240229).getstate()

#: The global streams that a function may draw from.
ALL = frozenset({"numpy", "random", "torch"})


def _available(streams: Iterable[str]) -> list[str]:
    return [s for s in streams if s != "torch" or "torch" in sys.modules]


def _get(stream: str) -> Any:
    if stream == "numpy":
        return np.random.get_state()  # noqa: NPY002 - the user's code may draw from the legacy stream
    if stream == "random":
        return random.getstate()
    return sys.modules["torch"].get_rng_state()


def _set(stream: str, state: Any) -> None:
    if stream == "numpy":
        np.random.set_state(state)  # noqa: NPY002
    elif stream == "random":
        random.setstate(state)
    else:
        sys.modules["torch"].set_rng_state(state)


def _rewind(stream: str) -> Any:
    """Put one stream at its fixed start and return that state."""
    if stream == "torch":
        sys.modules["torch"].manual_seed(20240229)
        return _get(stream)
    start = _NUMPY if stream == "numpy" else _PYTHON
    _set(stream, start)
    return start


def _moved(stream: str, start: Any) -> bool:
    now = _get(stream)
    if stream == "numpy":
        return now[2] != start[2] or now[3] != start[3] or not np.array_equal(now[1], start[1])
    if stream == "random":
        return now != start
    return not bool((now == start).all())


@contextlib.contextmanager
def keep(streams: Iterable[str] = ALL) -> Iterator[None]:
    """Restore the caller's streams at the end of the ``with`` block."""
    saved = [(s, _get(s)) for s in _available(streams)]
    try:
        yield
    finally:
        for stream, state in saved:
            _set(stream, state)


@contextlib.contextmanager
def rewound(streams: Iterable[str]) -> Iterator[None]:
    """Start the streams from their fixed state, and restore the caller's state afterwards."""
    with keep(streams):
        for stream in _available(streams):
            _rewind(stream)
        yield


@contextlib.contextmanager
def drawn_from(found: set[str]) -> Iterator[None]:
    """Rewind all streams for the ``with`` block, and add to `found` those that were drawn from."""
    with keep():
        starts = {stream: _rewind(stream) for stream in _available(ALL)}
        try:
            yield
        finally:
            found |= {stream for stream, start in starts.items() if _moved(stream, start)}
