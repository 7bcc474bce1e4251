"""The jax backend of `check_kernel`."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from autocnn.gradcheck.kernels.backends import Backend, Call, explicit, is_pair, split

__all__ = ["jax_backend"]


def jax_backend() -> Backend:
    """Arrays of jax; x64 is enabled where an argument is float64."""
    x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64

    def make(array, dtype, device=None):
        with x64(True):
            return jnp.asarray(array, dtype=dtype)

    def read(array):
        array = np.asarray(array)
        return array.astype(np.float64) if array.dtype.kind not in "iub" else array

    def run(function, arguments, wrt):
        wide = any(str(getattr(a, "dtype", "")) == "float64" for a in arguments.values())
        with x64(wide):
            out = function(**arguments)
            if is_pair(out):
                return explicit(
                    out, wrt, list(arguments), lambda p: jnp.issubdtype(p.dtype, jnp.floating)
                )
            parts = split(out)[0]
            floats = [k for k, p in enumerate(parts) if jnp.issubdtype(p.dtype, jnp.floating)]

            def call(*leaves):
                y = function(**{**arguments, **dict(zip(wrt, leaves, strict=True))})
                return [split(y)[0][k] for k in floats]

            outputs, pull = jax.vjp(call, *(arguments[n] for n in wrt))

        def backward(dys):
            with x64(wide):
                return dict(zip(wrt, pull(list(dys)), strict=True))

        return Call(outputs, backward)

    def precise():
        return jax.default_matmul_precision("highest")

    return Backend(
        "jax", make, read, run, lambda a: str(next(iter(a.devices()))), _jax_plain, precise
    )


@contextlib.contextmanager
def _jax_plain(fresh: bool) -> Iterator[None]:
    """Every custom_vjp and custom_jvp calls its function, its rule unused."""
    kinds = (jax.custom_vjp, jax.custom_jvp)
    originals = [kind.__call__ for kind in kinds]
    if fresh:
        jax.clear_caches()
    try:
        for kind in kinds:
            kind.__call__ = lambda self, *args, **kwargs: self.fun(*args, **kwargs)
        yield
    finally:
        for kind, original in zip(kinds, originals, strict=True):
            kind.__call__ = original
        if fresh:
            jax.clear_caches()
