"""A program: primitives in order, over values whose places in memory are planned ahead.

A value is an array in a layout. Most lie in one arena, where two may share a place if one is no
longer needed when the other is written; external ones are arrays of the caller's, bound at every
run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_void_p

import numpy as np

from autocnn.fast.plans import primitives
from autocnn.fast.plans.library import Argument, check, library, new
from autocnn.fast.plans.primitives import ARG, Layout, Primitive

__all__ = ["Program", "Value", "aligned", "arena", "forget", "openmp_threads"]

ALIGNMENT = 64  # bytes: a line of the cache, a vector register


class Value:
    """An array in a layout; ``base`` is the value whose memory it is, itself unless a view."""

    __slots__ = ("base", "external", "first", "last", "layout", "memory", "offset", "size")

    def __init__(self, layout: Layout, external: bool, base: "Value | None" = None):
        self.layout, self.external, self.base = layout, external, base or self
        self.size, self.first, self.last, self.offset = layout.size, None, -1, 0

    @property
    def shape(self):
        return self.layout.shape


class Program:
    """Primitives in order: first ``emit`` them, then ``finish``, then ``run`` again and again."""

    def __init__(self):
        self._steps, self._values = [], []

    def __len__(self):
        return len(self._steps)

    def value(self, layout: Layout, external: bool = False) -> Value:
        """Return a new value."""
        return self._add(Value(layout, external))

    def view(self, value: Value, layout: Layout) -> Value:
        """Return the same memory, read in another layout."""
        return self._add(Value(layout, value.base.external, value.base))

    def _add(self, value):
        self._values.append(value)
        return value

    def emit(self, primitive: Primitive, **arguments: Value) -> None:
        """Append a primitive; ``arguments`` are named as in ``ARG``."""
        pairs = [(getattr(ARG, name), value) for name, value in arguments.items()]
        self.emit_numbered(primitive, pairs)

    def emit_numbered(self, primitive: Primitive, pairs: list[tuple[int, Value]]) -> None:
        """Append a primitive whose arguments are given by number."""
        scratch = primitive.layout("scratchpad")
        if scratch.size:
            pairs = [*pairs, (ARG.scratchpad, self.value(scratch))]
        at = len(self._steps)
        for _, value in pairs:
            base = value.base
            base.first, base.last = at if base.first is None else base.first, at
        self._steps.append((primitive.create(), pairs))

    def in_layout(self, value: Value, layout: Layout, target: Value | None = None) -> Value:
        """Return the value in a layout, reordered if it is in another; into ``target`` if given."""
        if target is None and value.layout == layout:
            return value
        target = target or self.value(layout)
        self.emit(primitives.reorder(value.layout, target.layout), src=value, dst=target)
        return target

    def finish(self) -> None:
        """Plan the memory. Descriptors are not needed any more."""
        engine = primitives.engine()
        inside = [v for v in self._values if v.base is v and not v.external and v.first is not None]
        self.size = _place(inside)
        self._stream = new(library().dnnl_stream_create, engine, 1, kind="stream")
        used = [v for v in self._values if v.base.first is not None]
        for v in used:
            v.memory = new(
                library().dnnl_memory_create, v.layout, engine, c_void_p(0), kind="memory"
            )
        self._inside = [(v.memory, v.base.offset) for v in used if not v.base.external]
        self._outside = {}
        for v in used:
            if v.base.external:
                self._outside.setdefault(v.base, []).append(v.memory)
        self._calls = [
            (handle, len(pairs), (Argument * len(pairs))(*[
                Argument(arg, v.memory._as_parameter_) for arg, v in pairs
            ]))
            for handle, pairs in self._steps
        ]  # fmt: skip
        self._arena, self._keep, self._values, self._steps = None, used, [], []
        for v in used:
            v.layout = None

    def bind(self, value: Value, address: int) -> None:
        """Say where an external value is."""
        set_handle = library().dnnl_memory_set_data_handle
        for memory in self._outside.get(value, ()):
            check(set_handle(memory, address))

    def bind_all(self, arrays: list[tuple[Value, np.ndarray]]) -> None:
        """Say where external values are: in contiguous arrays, which the caller keeps."""
        for value, a in arrays:
            self.bind(value, a.ctypes.data)

    def place(self, arena: np.ndarray) -> None:
        """Put the values into an arena of ``size`` bytes or more."""
        if self._arena is not arena:
            set_handle, base = library().dnnl_memory_set_data_handle, arena.ctypes.data
            for memory, offset in self._inside:
                check(set_handle(memory, base + offset))
            self._arena = arena

    def numbers(self, value: Value) -> np.ndarray:
        """Return what an inside value holds, padding of blocks (zeros) included, as a view."""
        return self._arena[value.base.offset :][: value.size].view(np.float32)

    def run(self, start: int = 0, stop: int | None = None) -> None:
        """Execute the primitives from ``start`` to ``stop``."""
        execute, stream = library().dnnl_primitive_execute, self._stream
        for primitive, n, arguments in self._calls[start:stop]:
            status = execute(primitive, stream, n, arguments)
            if status:
                check(status)


def _place(values):
    """Give each value an offset, the largest first, where no living one is; return the size.

    Pisarchyk and Lee 2020, Efficient memory management for deep neural net inference, greedy by
    size.
    """
    placed, size = [], 0
    for value in sorted(values, key=lambda v: -v.size):
        need = -(-value.size // ALIGNMENT) * ALIGNMENT
        alive = sorted(
            (v.offset, v.offset + v.size)
            for v in placed
            if v.first <= value.last and value.first <= v.last
        )
        best, end = None, 0
        for low, high in alive:
            gap = low - end
            if gap >= need and (best is None or gap < best[0]):
                best = gap, end
            end = max(end, -(-high // ALIGNMENT) * ALIGNMENT)
        value.offset = end if best is None else best[1]
        placed.append(value)
        size = max(size, value.offset + need)
    return size


def aligned(size: int) -> np.ndarray:
    """Return ``size`` bytes at an aligned address. Raises MemoryError."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


@contextmanager
def arena(size: int) -> Iterator[np.ndarray]:
    """Hold ``size`` bytes or more at an aligned address. Raises MemoryError.

    One arena is kept for the next who asks: the pages of a new one would have to be cleared.
    """
    found = _take()
    if found is None or len(found) < size:
        found = None  # its pages are free before new ones are asked for
        found = aligned(size)
    try:
        yield found
    finally:
        _give(found)


_kept: list[np.ndarray] = []


def _take():
    try:
        return _kept.pop()
    except IndexError:
        return None


def _give(found):
    if not _kept:
        _kept.append(found)


def forget() -> None:
    """Free the arena that is kept."""
    _kept.clear()


@contextmanager
def openmp_threads(n: int) -> Iterator[None]:
    """Give oneDNN n threads where this thread of Python calls it."""
    lib = library()
    before = lib.omp_get_max_threads()
    lib.omp_set_num_threads(n)
    try:
        yield
    finally:
        lib.omp_set_num_threads(before)
