"""What another operand may be: the arguments, the output, and what may be made of them."""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.perturbed import product
from autocnn.gradcheck.rules.added import softmax
from autocnn.gradcheck.tolerance import tol

PAIRS = 3  # random projections that a candidate must meet


def first_fit(e: Evidence, altered) -> str | None:
    """The words of the first alteration at which the true gradient is yours, along three
    projections.
    """
    rng = np.random.default_rng(3)
    pairs = [
        (rng.standard_normal(e.shape), rng.standard_normal(e.J.shape[0])) for _ in range(PAIRS)
    ]
    yours = [float(v @ e.G @ u.ravel()) for u, v in pairs]
    true = [float(v @ e.J @ u.ravel()) for u, v in pairs]
    scale = max(map(abs, yours), default=0.0)
    if not scale:
        return None
    for words, replaced in altered:
        for (u, v), mine, right in zip(pairs, yours, true, strict=True):
            seen = product(e, replaced, u, v)
            if (
                seen is None
                or abs(seen - mine) > tol() * scale
                or (abs(mine - right) < tol() * scale and pairs[0][0] is u)
            ):
                break
        else:
            return words
    return None


def candidates(e: Evidence):
    """(words, replaced arguments), simplest first."""
    for name, z in e.values.items():
        yield from (
            (words if "in place of" in words else f"{words} in place of {name}", {name: new})
            for words, new in altered(name, z)
        )
        if z.shape == e.yshape and e.y.size == z.size:
            yield f"the output in place of {name}", {name: e.y.reshape(z.shape)}
    for a, b in itertools.combinations(e.values, 2):
        x, z = e.values[a], e.values[b]
        if x.shape == z.shape:
            yield from (
                (f"{b} in place of {a}", {a: z}),
                (f"{a} in place of {b}", {b: x}),
                (f"{a} and {b} exchanged", {a: z, b: x}),
            )
        elif x.shape == z.shape[::-1]:
            yield from ((f"{b}' in place of {a}", {a: z.T}), (f"{a}' in place of {b}", {b: x.T}))
    for name, z in e.problem.arguments.items():
        if isinstance(z, np.ndarray) and z.dtype.kind in "iu" and z.size:
            top = int(z.max()) + 1
            for step in (1, -1):
                yield f"{name} off by one", {name: z + step}
                yield f"{name} off by one", {name: (z + step) % top}
            for k in range(z.ndim):
                yield f"{name} rolled along axis {k}", {name: np.roll(z, 1, k)}
            yield f"{name} reversed", {name: z[::-1]}


def altered(name: str, z: np.ndarray):
    """(words, the altered array) of one operand."""
    axes = range(z.ndim)
    for order in itertools.permutations(axes):
        if tuple(order) != tuple(axes) and tuple(z.shape[k] for k in order) == z.shape:
            yield (
                (f"{name}'" if z.ndim == 2 else f"{name} transposed to {order}"),
                z.transpose(order),
            )
    for order in itertools.permutations(axes):
        mixed = tuple(z.shape[k] for k in order)
        if mixed != z.shape and tuple(order) != tuple(axes):
            yield (
                f"{name} reshaped where a transpose belongs",
                z.reshape(mixed).transpose(np.argsort(order)),
            )
            yield f"{name} reshaped where a transpose belongs", z.transpose(order).reshape(z.shape)
    long = [k for k in axes if z.shape[k] > 1]
    for count in range(1, min(3, len(long)) + 1):
        for which in itertools.combinations(long, count):
            yield f"{name} reversed along {', '.join(map(str, which))}", np.flip(z, which)
    for k in long:
        for step in {1, -1, 2, -2} if z.shape[k] > 3 else {1, -1}:
            yield f"{name} rolled by {step} along axis {k}", np.roll(z, step, k)
    for steps in _steps(z.shape):
        yield f"{name} shifted by {steps} (zeros come in)", _slide(z, steps)
    yield f"-{name}", -z
    if z.ndim == 2 and z.shape[0] == z.shape[1]:
        yield f"the identity in place of {name} ({name} left out)", np.eye(len(z))
    yield f"{name} = 0", 0 * z
    yield f"{name} = 1", 0 * z + 1
    for words, function in FUNCTIONS.items():
        with np.errstate(all="ignore"):
            new = function(z)
        if np.all(np.isfinite(new)):
            yield f"{words}({name})", new
    for k in long:
        mean, std = z.mean(axis=k, keepdims=True), z.std(axis=k, keepdims=True)
        yield f"{name} minus its mean over axis {k}", z - mean
        if np.all(std > 0):
            yield f"{name} standardised over axis {k}", (z - mean) / std
        yield f"softmax({name}) over axis {k}", softmax(z, k)
        if len(long) > 1:
            yield (
                f"{name}[{', '.join(':' * (a != k) or '0' for a in axes)}] everywhere",
                np.repeat(np.take(z, [0], k), z.shape[k], k),
            )


def _steps(shape):
    """Moves along one or two axes: (0, 0, 1, 1) and the like."""
    for which in itertools.chain(
        itertools.combinations(range(len(shape)), 2), itertools.combinations(range(len(shape)), 1)
    ):
        if all(shape[k] > 2 for k in which):
            for step in (1, -1, 2, -2):
                yield tuple(step if k in which else 0 for k in range(len(shape)))


def _slide(z: np.ndarray, steps) -> np.ndarray:
    out = np.zeros_like(z)
    to = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(steps, z.shape, strict=True))
    come = tuple(slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(steps, z.shape, strict=True))
    out[to] = z[come]
    return out


FUNCTIONS = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "exp": np.exp,
    "log": lambda z: np.log(z) if np.all(z > 0) else np.full(z.shape, np.nan),
    "square": np.square,
    "sqrt": lambda z: np.sqrt(z) if np.all(z >= 0) else np.full(z.shape, np.nan),
    "abs": np.abs,
    "2 x": lambda z: 2 * z,
    "0.5 x": lambda z: z / 2,
    "1 /": lambda z: 1 / z if np.all(z != 0) else np.full(z.shape, np.nan),
}
