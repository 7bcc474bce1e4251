"""Descriptors of oneDNN: layouts of memory, and primitives over them.

A layout is what oneDNN calls a memory descriptor: a shape, and how its numbers lie in memory.
Shapes are (N, C, H, W) or (N, D), kernels (F, C, kh, kw) or, in groups, (G, F / G, C / G, kh, kw).
``ANY`` layouts are chosen by the primitive that is given them.
"""

from collections.abc import Sequence
from ctypes import byref, c_char_p, c_float, c_int64, c_void_p
from functools import lru_cache
from types import SimpleNamespace

from autocnn.fast.plans.library import Handle, OneDNNError, check, library, new

__all__ = ["ARG", "Layout", "Primitive", "any_layout", "attributes", "plain", "reorder", "strided"]

FLOAT32 = 3
INFERENCE, TRAINING, BACKWARD = 96, 64, 128
DIRECT = 1  # convolution
RELU, TANH, CLIP = 0x20, 0x21, 0x2F  # elementwise
RELU_BY_OUTPUT, TANH_BY_OUTPUT, CLIP_BY_OUTPUT = 0x100, 0x101, 0x106  # derivatives of the same
MAX, MEAN = 0x1FF, 0x2FF  # pooling; the mean counts padding as zeros
ACROSS_CHANNELS = 0xAFF
ADD, MULTIPLY = 0x1FFF0, 0x1FFF1
GLOBAL_STATISTICS, SCALE, SHIFT, FUSED_RELU = 1, 2, 4, 8

ARG = SimpleNamespace(
    src=1, src1=2, dst=17, weights=33, bias=41, mean=49, variance=50, scale=51, shift=52,
    workspace=64, scratchpad=80, diff_src=129, diff_dst=145, diff_weights=161, diff_bias=169,
    diff_scale=255, diff_shift=256, source=1024,
)  # fmt: skip
_QUERY = SimpleNamespace(
    src=129, diff_src=130, weights=131, diff_weights=132, dst=133, diff_dst=134, workspace=135,
    scratchpad=136,
)  # fmt: skip
_NAME = 8  # the query for an implementation's name


@lru_cache(maxsize=1)
def engine() -> Handle:
    """Return the processor."""
    return new(library().dnnl_engine_create, 1, 0)


def int64s(values: Sequence[int]):
    """Return numbers as an array of C's."""
    return (c_int64 * len(values))(*values)


class Layout:
    """A memory descriptor, with its shape."""

    __slots__ = ("_as_parameter_", "handle", "shape")

    def __init__(self, handle: Handle, shape: tuple[int, ...]):
        self.handle, self.shape, self._as_parameter_ = handle, shape, handle._as_parameter_

    def __eq__(self, other):
        return bool(library().dnnl_memory_desc_equal(self, other))

    @property
    def size(self) -> int:
        """Its bytes, padding of blocks included."""
        return library().dnnl_memory_desc_get_size(self)


def strided(shape: tuple[int, ...], strides: tuple[int, ...]) -> Layout:
    """Return the layout of an array with these strides, in numbers."""
    make = library().dnnl_memory_desc_create_with_strides
    arguments = len(shape), int64s(shape), FLOAT32, int64s(strides)
    return Layout(new(make, *arguments, kind="memory_desc"), shape)


def plain(shape: tuple[int, ...]) -> Layout:
    """Return the layout of a contiguous array."""
    strides = [1]
    for n in shape[:0:-1]:
        strides.insert(0, strides[0] * n)
    return strided(shape, tuple(strides))


def any_layout(shape: tuple[int, ...]) -> Layout:
    """Return a layout for a primitive to choose."""
    make = library().dnnl_memory_desc_create_with_tag
    return Layout(new(make, len(shape), int64s(shape), FLOAT32, 1, kind="memory_desc"), shape)


def channels(layout: Layout, start: int, count: int) -> Layout:
    """Return the layout of some channels inside an array of ``layout``."""
    shape = (layout.shape[0], count, *layout.shape[2:])
    offsets = [0] * len(shape)
    offsets[1] = start
    make = library().dnnl_memory_desc_create_submemory
    return Layout(new(make, layout, int64s(shape), int64s(offsets), kind="memory_desc"), shape)


def attributes(relu: bool = False, add: bool = False) -> Handle:
    """Return a primitive's attributes: with ``add``, it adds to what its output holds; with
    ``relu``, negative outputs become 0 then. Scratch memory is the caller's.
    """
    lib = library()
    found = new(lib.dnnl_primitive_attr_create, kind="primitive_attr")
    check(lib.dnnl_primitive_attr_set_scratchpad_mode(found, 1))
    if relu or add:
        after = new(lib.dnnl_post_ops_create, kind="post_ops")
        if add:
            check(lib.dnnl_post_ops_append_sum(after, 1.0, 0, FLOAT32))
        if relu:
            check(lib.dnnl_post_ops_append_eltwise(after, RELU, 0.0, 0.0))
        check(lib.dnnl_primitive_attr_set_post_ops(found, after))
    return found


class Primitive:
    """The descriptor of a primitive: which layouts it chose, and ``create()``."""

    __slots__ = ("_as_parameter_", "handle", "name")

    def __init__(self, handle):
        self.handle, self._as_parameter_ = handle, handle._as_parameter_
        name = c_char_p()
        check(library().dnnl_primitive_desc_query(self, _NAME, 0, byref(name)))
        self.name = (name.value or b"").decode()

    def layout(self, which: str, shape: tuple[int, ...] = ()) -> Layout:
        """Return the layout of an argument, such as "src"; its size is 0 where there is none."""
        pointer = library().dnnl_primitive_desc_query_md(self, getattr(_QUERY, which), 0)
        return Layout(Handle(c_void_p(pointer), keep=self.handle), shape)

    def create(self) -> Handle:
        """Return the primitive itself, its code generated."""
        return new(library().dnnl_primitive_create, self, kind="primitive")


def describe(kind: str, *arguments, attr: Handle | None = None) -> Primitive:
    """Return the descriptor of a primitive of one ``kind``, such as "pooling_forward".

    Raises OneDNNError where oneDNN has nothing but its reference implementation, which is slow.
    """
    make = getattr(library(), f"dnnl_{kind}_primitive_desc_create")
    attr = attributes() if attr is None else attr
    found = Primitive(new(make, engine(), *arguments, attr, kind="primitive_desc"))
    if found.name.startswith("ref") and kind not in ("concat", "sum"):
        raise OneDNNError(f"{kind}: {found.name}")
    return found


def reorder(source: Layout, target: Layout) -> Primitive:
    """Return the primitive that writes an array in another layout."""
    make, cpu = library().dnnl_reorder_primitive_desc_create, engine()
    return Primitive(new(make, source, cpu, target, cpu, attributes(), kind="primitive_desc"))


def concat(target: Layout, sources: list[Layout]) -> Primitive:
    """Return the primitive that writes arrays one after another along the channels."""
    return describe("concat", target, len(sources), 1, _list(sources))


def total(sources: list[Layout]) -> Primitive:
    """Return the primitive that adds up arrays, in the first one's layout."""
    ones = (c_float * len(sources))(*[1.0] * len(sources))
    return describe("sum", sources[0], len(sources), ones, _list(sources))


def _list(layouts):
    return (c_void_p * len(layouts))(*[layout._as_parameter_.value for layout in layouts])
