"""Rules for a right formula with a wrong operand: the true gradient is evaluated at altered
arguments until yours appears.
"""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence, your_jacobian
from autocnn.gradcheck.perturbed import jacobian_at, product
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.rules.whole import ratios, softmax
from autocnn.gradcheck.tolerance import CLOSE, close, tol

PAIRS = 3  # random projections that a candidate must meet


def wrong_operand(e: Evidence) -> Cause | None:
    """G = J at altered arguments: one argument transposed, reversed, shifted, activated,
    exchanged with another.
    """
    words = first_fit(e, candidates(e))
    if words is None:
        return None
    zero = words.split(" = ")[0] if " = 0 in place of " in words else ""
    if zero and not zero.startswith("-"):
        message = f"yours is the gradient with {words}: every term with {zero} is missing"
        return Cause("missing-path", e.name, message, what=words)
    return Cause("wrong-operand", e.name, f"yours is the gradient with {words}", what=words)


def operand_before_activation(e: Evidence) -> Cause | None:
    """Each row of G is a multiple of J's row at an altered argument: the operand is wrong, and the
    slope that dy meets before it is right (it is another one at the altered argument).
    """
    if e.J.shape[0] < 3 or np.max(np.count_nonzero(e.G, axis=1)) < 2:
        return None
    for name, z in e.values.items():
        if name == e.name or z.ndim < 2:
            continue
        axes = range(z.ndim)
        moved = [
            (f"{name}'" if z.ndim == 2 else f"{name} transposed to {order}", z.transpose(order))
            for order in itertools.permutations(axes)
            if tuple(order) != tuple(axes) and z.transpose(order).shape == z.shape
        ]
        moved += [
            (f"{name} reversed along axis {k}", np.flip(z, k)) for k in axes if z.shape[k] > 1
        ]
        for words, new in moved:
            J = jacobian_at(e, {**e.values, name: new})
            if J is not None and _parallel(e.G, J) and not _parallel(e.G, e.J):
                what = f"{words} in place of {name}"
                return Cause(
                    "wrong-operand", e.name, f"yours is the gradient with {what}", what=what
                )
    return None


def _parallel(A: np.ndarray, B: np.ndarray) -> bool:
    """Is each row of A a multiple of B's, with several entries in most rows?"""
    coarse = tol() > CLOSE
    least = (0.05 if coarse else 1e-9) * min(np.max(np.abs(A)), np.max(np.abs(B)))
    rows = [
        (a, b)
        for a, b in zip(A, B, strict=True)
        if (min if coarse else max)(np.max(np.abs(a)), np.max(np.abs(b))) > least
    ]
    telling = 0
    for a, b in rows:
        if not np.any(a) or not np.any(b):
            return False
        c = float(a @ b) / float(b @ b)
        size = max(np.max(np.abs(c * b)), least)
        if np.max(np.abs(a - c * b)) > tol() * size:
            return False
        telling += np.count_nonzero(b) > 1
    return telling >= max(2, len(rows) // 2)


def first_group(e: Evidence) -> Cause | None:
    """G = J with another argument's first channel group in place of all its groups."""
    words = first_fit(e, _first_groups(e))
    return None if words is None else Cause("group", e.name, f"yours is the gradient with {words}")


def _first_groups(e: Evidence):
    for name, z in e.values.items():
        for k, n in enumerate(z.shape):
            for groups in (g for g in range(2, n + 1) if n % g == 0):
                for which in (0, groups - 1):
                    block = np.take(z, range(which * n // groups, (which + 1) * n // groups), k)
                    words = f"group {which} of {groups} of {name} (axis {k}) used for every group"
                    if e.name != name and len(z.shape) > 1:
                        yield words, {name: np.concatenate([block] * groups, axis=k)}


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


def linear_operand(e: Evidence) -> Cause | None:
    """f is linear in the leaf, and wherever it uses a number of its operand, yours uses one other
    number instead.

    Then G is the gradient of the same linear function with another operand: equal entries of J stay
    equal in G.
    """
    live = e.J != 0
    if e.J.shape[0] < 3 or not np.array_equal(live, e.G != 0) or not _independent(e):
        return None
    size = np.max(np.abs(e.J))
    _, kinds, counts = np.unique(
        np.round(e.J[live] / size, 10), return_inverse=True, return_counts=True
    )
    if counts.size < 4 or np.min(counts) < 2:
        return None
    mean = np.bincount(kinds, e.G[live]) / counts
    if (
        not close(mean[kinds], e.G[live])
        or np.mean(np.abs(e.G[live] - e.J[live]) > tol() * size) < 0.5
    ):
        return None
    return Cause(
        "wrong-operand",
        e.name,
        f"the function is linear in {e.name}; yours has other numbers in the place of what it "
        "is multiplied by",
    )


def _independent(e: Evidence) -> bool:
    """Do neither J nor G change with the leaf?"""
    values = {**e.values, e.name: np.random.default_rng(14).standard_normal(e.shape)}
    J = jacobian_at(e, values)
    return (
        J is not None
        and close(J, e.J, 1e-10)
        and close(your_jacobian(e.leaf.point.replace(**values), e.name), e.G, 1e-10)
    )


def inner_factor(e: Evidence) -> Cause | None:
    """G / J depends on one axis of the outputs and one of the leaf only: a factor at the units
    in between is another.
    """
    live = e.J != 0
    if (
        ratios(e.G, e.J) is not None
        or not np.array_equal(live, e.G != 0)
        or min(len(e.yshape), len(e.shape)) < 2
    ):
        return None
    ratio = np.divide(e.G, e.J, out=np.zeros_like(e.J), where=live).reshape(*e.yshape, *e.shape)
    on, axes = live.reshape(ratio.shape), range(ratio.ndim)
    for a in range(len(e.yshape)):
        for b in range(len(e.yshape), ratio.ndim):
            rest = tuple(k for k in axes if k not in (a, b))
            count = np.count_nonzero(on, axis=rest, keepdims=True)
            each = ratio.sum(axis=rest, keepdims=True) / np.maximum(count, 1)
            shared = np.all((count == 0) | (count > 2)) and np.count_nonzero(count) > 2
            if shared and np.all(~on | (np.abs(ratio - each) <= 1e-6 * np.abs(each))):
                words = (
                    f"one factor for each index of the output's axis {a} and of {e.name}'s axis "
                    f"{b - len(e.yshape)}"
                )
                message = (
                    f"right but for {words}: the slope of a unit in between is missing or "
                    "another function's"
                )
                return Cause("wrong-operand", e.name, message, what=words)
    return None


def input_for_output(e: Evidence) -> Cause | None:
    """The formula is written for the output but applied to the input: your backward at x := f(x)
    is right for x.
    """
    if e.yshape != e.shape:
        return None
    v = np.random.default_rng(4).standard_normal(e.J.shape[0])
    try:
        g = e.leaf.at(e.leaf.point.replace(**{e.name: e.y.reshape(e.shape)})).yours(v)
    except CallError:
        return None
    if close(g.ravel(), v @ e.J):
        return Cause(
            "wrong-operand",
            e.name,
            f"the formula is right for the output, but it is applied to {e.name}",
        )
    return None


def shape_hint(yours: np.ndarray, leaf: np.ndarray, r: np.ndarray) -> str:
    """What a gradient of the wrong shape would need, when that makes it right: transposing,
    cropping, summing.
    """
    for order in itertools.permutations(range(yours.ndim)):
        if tuple(yours.shape[k] for k in order) == leaf.shape and close(yours.transpose(order), r):
            return (
                "it is right once transposed"
                if yours.ndim == 2
                else f"it is right as transpose{order}"
            )
    if yours.ndim == leaf.ndim and all(
        a >= b and (a - b) % 2 == 0 for a, b in zip(yours.shape, leaf.shape, strict=True)
    ):
        cut = tuple(
            slice((a - b) // 2, (a - b) // 2 + b)
            for a, b in zip(yours.shape, leaf.shape, strict=True)
        )
        if close(yours[cut], r):
            return (
                "it is right once the padding is cropped: "
                f"[{', '.join(f'{s.start}:{s.stop}' for s in cut)}]"
            )
    if yours.ndim == leaf.ndim and all(
        a <= b for a, b in zip(yours.shape, leaf.shape, strict=True)
    ):
        grown = np.zeros(leaf.shape)
        grown[tuple(slice(a) for a in yours.shape)] = yours
        if close(grown, r):
            return (
                "the last rows or columns, which no window reads, are missing: allocate zeros "
                "of the input's shape"
            )
    for count in range(1, yours.ndim + 1):
        for axes in itertools.combinations(range(yours.ndim), count):
            total = yours.sum(axis=axes)
            if total.shape == leaf.shape and close(total, r):
                return f"it is right once summed over axis {', '.join(map(str, axes))}"
    if yours.size == leaf.size and close(yours.reshape(leaf.shape), r):
        return f"it is right once reshaped to {leaf.shape}"
    if yours.size == 1 and close(yours.ravel()[:1], np.array([r.sum()])):
        return "it is summed over every axis of the leaf"
    return ""
