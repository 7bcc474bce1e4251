"""Batches of cotangents in torch: is_grads_batched, and torch.func.vmap of the vjp."""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.batching.runs import Batch, Runs, Unsupported, Way, output
from autocnn.gradcheck.forward_mode import float_outputs
from autocnn.gradcheck.kernels import backends

__all__ = ["torch_runs"]

_NO_CONTEXT = (
    "without the staticmethod setup_context torch.func takes no torch.autograd.Function, so its "
    "vmap was not tried"
)
_NO_RULE = (
    "neither vmap nor generate_vmap_rule = True is there, so torch.func.vmap over the arguments "
    "was not tried"
)


def torch_runs(real: Callable, views: dict[str, Any], leaves: list[str]) -> Runs:
    """The runs of a function of named torch tensors, which returns y or (y, backward)."""
    import torch

    homes = {n: (views[n].dtype, views[n].device) for n in leaves}

    def tensor(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        return torch.tensor(np.array(array), dtype=like.dtype, device=like.device)

    def arguments(values: dict[str, np.ndarray] | None) -> dict[str, Any]:
        found = {
            n: a.detach().clone() if isinstance(a, torch.Tensor) else a for n, a in views.items()
        }
        for name, value in (values or {}).items():
            dtype, device = homes[name]
            found[name] = torch.tensor(np.array(value), dtype=dtype, device=device)
        return found

    def forward(values: dict | None) -> tuple[list, list]:
        """The outputs that have a gradient, and the leaves."""
        given = arguments(values)
        inputs = [given[n].requires_grad_() for n in leaves]
        y = real(**given)
        return [o for o in float_outputs(y) if o.requires_grad], inputs

    given = arguments(None)
    for n in leaves:
        given[n].requires_grad_()
    first = real(**given)
    if backends.is_pair(first):
        return _closure_runs(real, arguments, leaves, tensor)
    outputs = [o for o in float_outputs(first) if o.requires_grad]
    kept = [k for k, o in enumerate(float_outputs(first)) if o.requires_grad]

    def pulled(values: dict | None, dys: list, **options: Any) -> dict[str, Any]:
        ys, inputs = forward(values)
        cotangents = [tensor(d, y) for d, y in zip(dys, ys, strict=True)]
        grads = torch.autograd.grad(ys, inputs, cotangents, allow_unused=True, **options)
        found = {n: _numpy(g) for n, g in zip(leaves, grads, strict=True)}
        return found | {output(k): _numpy(y) for k, y in enumerate(ys)}

    def pure(*inputs: Any) -> tuple:
        found = float_outputs(real(**{**arguments(None), **dict(zip(leaves, inputs, strict=True))}))
        return tuple(found[k] for k in kept)

    def at_once(batch: Batch) -> dict[str, Any]:
        found = pulled(None, batch.dys, is_grads_batched=True)
        return {n: found[n] for n in leaves}

    def func(batch: Batch) -> dict[str, Any]:
        values = arguments(None)
        with _translated():
            _, pull = torch.func.vjp(pure, *(values[n] for n in leaves))
            dys = tuple(tensor(d, y) for d, y in zip(batch.dys, outputs, strict=True))
            grads = torch.func.vmap(pull, randomness="same")(dys)
        return {n: _numpy(g) for n, g in zip(leaves, grads, strict=True)}

    def over_arguments(batch: Batch, axis: int, only: str | None) -> dict[str, Any]:
        assert batch.values is not None
        values = [
            tensor(batch.values[n] if only in (None, n) else batch.values[n][0], views[n])
            for n in leaves
        ]
        dims = tuple(axis if only in (None, n) else None for n in leaves)
        moved = [v if d is None else v.movedim(0, axis) for v, d in zip(values, dims, strict=True)]
        dys = tuple(tensor(d, y) for d, y in zip(batch.dys, outputs, strict=True))

        def one(d: tuple, *inputs: Any) -> tuple:
            ys, pull = torch.func.vjp(pure, *inputs)
            return ys, pull(d)

        with _translated():
            ys, grads = torch.func.vmap(one, in_dims=(0, *dims), randomness="same")(dys, *moved)
        found = {n: _numpy(g) for n, g in zip(leaves, grads, strict=True)}
        return found | {output(k): _numpy(y) for k, y in enumerate(ys)}

    ways = [
        Way("is_grads_batched", False, at_once),
        Way("torch.func.vmap", False, func),
        Way("torch.func.vmap over the arguments", True, lambda b: over_arguments(b, 0, None)),
        Way("torch.func.vmap, in_dims=-1", True, lambda b: over_arguments(b, -1, None)),
    ]
    if len(leaves) > 1:
        ways += [
            Way(f"torch.func.vmap over {n} alone", True, lambda b, n=n: over_arguments(b, 0, n))
            for n in leaves
        ]
    x = {n: _numpy(given[n]) for n in leaves}
    shapes = [tuple(o.shape) for o in outputs]
    eps = max(float(torch.finfo(homes[n][0]).eps) for n in leaves)
    return Runs(x, shapes, lambda row: pulled(row.values, row.dys), ways, eps)


def _closure_runs(real: Callable, arguments: Callable, leaves: list[str], tensor: Callable) -> Runs:
    """Of a function that returns (y, backward): vmap of backward."""
    import torch

    def call(values: dict | None) -> backends.Call:
        given = arguments(values)
        out = real(**given)
        return backends.explicit(out, tuple(leaves), list(given), lambda p: p.is_floating_point())

    outputs = call(None).outputs

    def tensors(dys: list) -> list:
        return [tensor(d, y) for d, y in zip(dys, outputs, strict=True)]

    def single(row: Batch) -> dict[str, Any]:
        return {n: _numpy(g) for n, g in call(row.values).backward(tensors(row.dys)).items()}

    def stacked(batch: Batch) -> dict[str, Any]:
        backward = call(None).backward

        def given(dys: list) -> dict:
            return {n: g for n, g in backward(dys).items() if g is not None}

        grads = torch.func.vmap(given, randomness="same")(tensors(batch.dys))
        return {n: _numpy(g) for n, g in grads.items()}

    x = {n: _numpy(arguments(None)[n]) for n in leaves}
    ways = [Way("torch.func.vmap", False, stacked)]
    return Runs(x, [tuple(o.shape) for o in outputs], single, ways, 2.3e-16)


class _translated:
    """What torch says of functions that do not claim to support vmap, as Unsupported."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            return
        text = str(error)
        if "must override the setup_context" in text or "setup_context" in text.split(". ")[0]:
            raise Unsupported(_NO_CONTEXT) from error
        if "does not have vmap support" in text:
            raise Unsupported(_NO_RULE) from error


def _numpy(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().cpu().double().numpy().copy()
