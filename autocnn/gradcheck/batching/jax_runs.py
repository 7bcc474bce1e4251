"""Batches of cotangents in jax: jax.vmap of the vjp, over cotangents alone and with arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.batching.runs import Batch, Runs, Way, output
from autocnn.gradcheck.forward_mode import float_outputs
from autocnn.gradcheck.jax_functions import x64
from autocnn.gradcheck.kernels import backends

__all__ = ["jax_runs"]


def jax_runs(real: Callable, views: dict[str, Any], leaves: list[str]) -> Runs:
    """The runs of a function of named jax arrays, which returns y or (y, backward)."""
    import jax
    import jax.numpy as jnp

    def arrays(values: dict[str, np.ndarray] | None) -> list:
        given = values or {}
        return [jnp.asarray(given.get(n, views[n]), dtype=views[n].dtype) for n in leaves]

    def whole(inputs: Any) -> Any:
        return real(**{**views, **dict(zip(leaves, inputs, strict=True))})

    def pure(*inputs: Any) -> list:
        return float_outputs(whole(inputs))

    def pull(inputs: Any) -> tuple[Any, Callable]:
        """The outputs, and cotangents -> gradients in the leaves' order."""
        if not closure:
            return jax.vjp(pure, *inputs)
        call = backends.explicit(whole(inputs), tuple(leaves), list(views), _is_float)

        def own(dys: Any) -> tuple:
            found = call.backward(list(dys))
            return tuple(found.get(n) for n in leaves)

        return call.outputs, own

    def cotangents(dys: list) -> list:
        return [jnp.asarray(d, dtype=y.dtype) for d, y in zip(dys, outputs, strict=True)]

    def named(grads: Any, ys: Any = ()) -> dict[str, Any]:
        found = {
            n: None if g is None else np.array(g, dtype=np.float64)
            for n, g in zip(leaves, grads, strict=True)
        }
        return found | {output(k): np.array(y, dtype=np.float64) for k, y in enumerate(ys)}

    with x64(True):
        first = whole(arrays(None))
        closure = backends.is_pair(first)
        outputs = float_outputs(first[0] if closure else first)

    def single(row: Batch) -> dict[str, Any]:
        with x64(True):
            ys, back = pull(arrays(row.values))
            return named(back(cotangents(row.dys)), ys)

    def stacked(batch: Batch) -> dict[str, Any]:
        with x64(True):
            return named(jax.vmap(pull(arrays(None))[1])(cotangents(batch.dys)))

    def over_arguments(batch: Batch, axis: int, only: str | None) -> dict[str, Any]:
        assert batch.values is not None
        inputs, axes = [], []
        for name in leaves:
            rows = batch.values[name]
            alone = only not in (None, name)
            inputs.append(rows[0] if alone else np.moveaxis(rows, 0, axis))
            axes.append(None if alone else axis)
        with x64(True):
            given = arrays(dict(zip(leaves, inputs, strict=True)))
            mapped = jax.vmap(one, in_axes=(0, *axes))
            ys, grads = mapped(cotangents(batch.dys), *given)
            return named(grads, ys)

    def one(dys: Any, *inputs: Any) -> tuple:
        ys, back = pull(inputs)
        return ys, back(dys)

    ways = [
        Way("jax.vmap", False, stacked),
        Way("jax.vmap over the arguments", True, lambda b: over_arguments(b, 0, None)),
        Way("jax.vmap, in_axes=-1", True, lambda b: over_arguments(b, -1, None)),
    ]
    if len(leaves) > 1:
        ways += [
            Way(f"jax.vmap over {n} alone", True, lambda b, n=n: over_arguments(b, 0, n))
            for n in leaves
        ]
    x = {n: np.array(views[n], dtype=np.float64) for n in leaves}
    eps = max(float(jnp.finfo(views[n].dtype).eps) for n in leaves)
    return Runs(x, [tuple(o.shape) for o in outputs], single, ways, eps)


def _is_float(part: Any) -> bool:
    return "float" in str(getattr(part, "dtype", ""))
