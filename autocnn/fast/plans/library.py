"""oneDNN by its C interface: where the library is, which functions are used, errors as exceptions.

The library comes with the package ``onednn-cpu-gomp``, whose wheel holds nothing else; no Python
module belongs to it. Where that is absent, or is not of version 3, there are no plans.
"""

import ctypes
import importlib.metadata
from ctypes import POINTER, byref, c_float, c_int, c_int64, c_size_t, c_uint, c_void_p
from functools import lru_cache

from autocnn.fast import threadpool

__all__ = ["Argument", "OneDNNError", "check", "library", "new"]

PACKAGE = "onednn-cpu-gomp"

_STATUS = {1: "out of memory", 2: "invalid arguments", 3: "unimplemented", 5: "runtime error"}


class OneDNNError(Exception):
    """What oneDNN answers instead of success."""


class Argument(ctypes.Structure):
    """One argument of a primitive: which (an ARG of ``primitives``), and its memory."""

    _fields_ = [("arg", c_int), ("memory", c_void_p)]


_int64s, _pointers = POINTER(c_int64), POINTER(c_void_p)
_window = [_int64s] * 4  # strides, dilations, padding in front, padding behind
_FUNCTIONS = {
    "engine_create": [_pointers, c_int, c_size_t],
    "stream_create": [_pointers, c_void_p, c_uint],
    "memory_desc_create_with_strides": [_pointers, c_int, _int64s, c_int, _int64s],
    "memory_desc_create_with_tag": [_pointers, c_int, _int64s, c_int, c_int],
    "memory_desc_create_submemory": [_pointers, c_void_p, _int64s, _int64s],
    "memory_desc_equal": [c_void_p, c_void_p],
    "memory_create": [_pointers, c_void_p, c_void_p, c_void_p],
    "memory_set_data_handle": [c_void_p, c_void_p],
    "primitive_attr_create": [_pointers],
    "primitive_attr_set_scratchpad_mode": [c_void_p, c_int],
    "primitive_attr_set_post_ops": [c_void_p, c_void_p],
    "post_ops_create": [_pointers],
    "post_ops_append_eltwise": [c_void_p, c_int, c_float, c_float],
    "post_ops_append_sum": [c_void_p, c_float, c_int, c_int],
    "primitive_desc_query": [c_void_p, c_int, c_int, c_void_p],
    "primitive_create": [_pointers, c_void_p],
    "primitive_execute": [c_void_p, c_void_p, c_int, POINTER(Argument)],
    "primitive_desc_query_md": [c_void_p, c_int, c_int],
    "memory_desc_get_size": [c_void_p],
}
_KINDS = (
    "memory_desc", "memory", "primitive_desc", "primitive", "primitive_attr", "post_ops", "stream",
)  # fmt: skip
# dnnl_<name>_primitive_desc_create(descriptor, engine, ..., attributes); the last of a backward
# pass's own arguments is the descriptor of the forward pass
_DESCRIPTORS = {
    "reorder": [c_void_p, c_void_p, c_void_p],
    "convolution_forward": [c_int, c_int, *[c_void_p] * 4, *_window],
    "convolution_backward_data": [c_int, *[c_void_p] * 3, *_window, c_void_p],
    "convolution_backward_weights": [c_int, *[c_void_p] * 4, *_window, c_void_p],
    "inner_product_forward": [c_int, *[c_void_p] * 4],
    "inner_product_backward_data": [c_void_p] * 4,
    "inner_product_backward_weights": [c_void_p] * 5,
    "batch_normalization_forward": [c_int, c_void_p, c_void_p, c_float, c_uint],
    "batch_normalization_backward": [c_int, *[c_void_p] * 3, c_float, c_uint, c_void_p],
    "eltwise_forward": [c_int, c_int, c_void_p, c_void_p, c_float, c_float],
    "eltwise_backward": [c_int, *[c_void_p] * 3, c_float, c_float, c_void_p],
    "pooling_forward": [c_int, c_int, c_void_p, c_void_p, *[_int64s] * 5],
    "pooling_backward": [c_int, c_void_p, c_void_p, *[_int64s] * 5, c_void_p],
    "lrn_forward": [c_int, c_int, c_void_p, c_void_p, c_int64, c_float, c_float, c_float],
    "lrn_backward": [c_int, *[c_void_p] * 3, c_int64, c_float, c_float, c_float, c_void_p],
    "binary": [c_int, *[c_void_p] * 3],
    "concat": [c_void_p, c_int, c_int, _pointers],
    "sum": [c_void_p, c_int, POINTER(c_float), _pointers],
}  # fmt: skip


class _Version(ctypes.Structure):
    _fields_ = [("major", c_int), ("minor", c_int)]


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return oneDNN, loaded, or None where it is not installed or cannot be loaded."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
        found = [file.locate() for file in files if file.name.startswith("libdnnl.so.3")]
        lib = ctypes.CDLL(str(found[0]))
        lib.dnnl_version.restype = POINTER(_Version)
        version = lib.dnnl_version().contents
        if (version.major, version.minor) < (3, 2) or version.major > 3:
            return None
        _declare(lib)
        threadpool.starts_openmp()
    except (importlib.metadata.PackageNotFoundError, IndexError, OSError, AttributeError):
        return None
    return lib


def _declare(lib):
    for name, arguments in _FUNCTIONS.items():
        getattr(lib, f"dnnl_{name}").argtypes = arguments
    for name, arguments in _DESCRIPTORS.items():
        create = getattr(lib, f"dnnl_{name}_primitive_desc_create")
        create.argtypes = [_pointers, c_void_p, *arguments, c_void_p]
    for kind in _KINDS:
        getattr(lib, f"dnnl_{kind}_destroy").argtypes = [c_void_p]
    lib.dnnl_primitive_desc_query_md.restype = c_void_p
    lib.dnnl_memory_desc_get_size.restype = c_size_t
    lib.omp_set_num_threads.argtypes, lib.omp_set_num_threads.restype = [c_int], None


def check(status: int) -> None:
    """Raise OneDNNError, or MemoryError, unless ``status`` means success."""
    if status == 1:
        raise MemoryError("oneDNN is out of memory")
    if status:
        raise OneDNNError(_STATUS.get(status, f"status {status}"))


class Handle:
    """An object of oneDNN's, destroyed when the last reference to it goes."""

    __slots__ = ("_as_parameter_", "_destroy", "_keep")

    def __init__(self, pointer, destroy=None, keep=None):
        self._as_parameter_, self._destroy, self._keep = pointer, destroy, keep

    def __del__(self):
        if self._destroy is not None:
            self._destroy(self._as_parameter_)


def new(function, *arguments, kind=None) -> Handle:
    """Return what a function of oneDNN's creates: its first argument is where it puts the handle.

    kind: the name of its kind, ``dnnl_<kind>_destroy`` being what destroys it; None for what lives
    as long as the process.
    """
    pointer = c_void_p()
    check(function(byref(pointer), *arguments))
    return Handle(pointer, kind and getattr(library(), f"dnnl_{kind}_destroy"))
