"""A whole network's gradient, leaf by leaf: autograd, reference, fast and a numeric witness side by
side.

The cotangent is random. For each leaf the interpretations are compared with the complex step of the
forward pass along a random direction, and with each other entry by entry. When one of them is
wrong, its layers are checked one by one on what they were fed, and the first broken one that the
backward pass meets is named.
"""

import inspect
import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autocnn import trees
from autocnn.gradcheck.examine import examine
from autocnn.gradcheck.protection import protected, set_stage
from autocnn.gradcheck.report import Cause, Leaf, Report
from autocnn.gradcheck.taps import (
    Network,
    broken_layer,
    gradients,
    misses,
    numeric_slopes,
    shapes_of,
    whole,
)


@dataclass(repr=False)
class ModelReport(Report):
    """A Report that prints as one table: a row a leaf, the digits to which each interpretation
    meets the numeric witness.
    """

    columns: list[str] = field(default_factory=list)
    broken: str | None = None

    def text(self, width: int | None = None) -> str:
        """The table, then causes and notes; long paths are cut in the middle on narrow
        terminals.
        """
        limit = max(20, min(60, (width or 100) - 16 - 11 * len(self.columns)))
        names = {n: f"{n} {leaf.shape}" for n, leaf in self.leaves.items()}
        wide = min(limit, max(map(len, names.values()), default=4))
        table = [
            f"      {'leaf':<{wide}}" + "".join(f"{c:>11}" for c in self.columns) + "   digits"
        ]
        for name, leaf in self.leaves.items():
            word = {"agree": "ok", "wrong": "FAIL", "unresolved": "????"}[leaf.verdict]
            text = names[name]
            if len(text) > wide:
                text = text[: wide - 10] + "..." + text[-7:]
            cells = "".join(
                f"{leaf.witnesses[c]:>11.1f}" if c in leaf.witnesses else f"{'-':>11}"
                for c in self.columns
            )
            table.append(f"{word:<4}  {text:<{wide}}{cells}")
        causes = [f"cause  {c.leaf or 'network'}: {c.code}: {c.message}" for c in self.causes]
        notes = [f"note   {n}" for n in self.notes]
        return "\n".join([self.headline, *table, *causes, *notes])


def check_model(
    build,
    shape,
    *,
    batch: int = 3,
    seed: int = 0,
    train: bool = True,
    x=None,
    timeout: float | None = None,
) -> ModelReport:
    """Check a network: `build` is a function that takes nn= (such as ac.models.tiny_cnn), or a
    model.

    `shape` is one image's (C, H, W) or (D,), `x` a batch (default: `batch` standard normal
    images from `seed`). A builder is interpreted by autocnn.layers, reference and autocnn.fast; a
    model is checked as it is and beside its own rebuilt in each vocabulary that has its words.
    `timeout` limits the whole check, in seconds. Raises ValueError when nothing can be built or
    run, and CheckTimeout when the time is over.
    """
    with protected(timeout):
        return _check_model(build, shape, batch, seed, train, x)


def _check_model(build, shape, batch: int, seed: int, train: bool, x) -> ModelReport:
    start = time.perf_counter()
    models = interpretations(build)
    first = next(iter(models.values()))
    rng = np.random.default_rng(seed)
    set_stage(f"{first.name}: init with shape {tuple(shape)}")
    try:
        _, params, state = first.init((seed,), tuple(shape))
    except TypeError as error:
        raise ValueError(
            f"{first!r}.init(key, shape) cannot be called with shape {shape!r}: {error}"
        ) from error
    set_stage("")
    params = _spread(params, rng)
    x = rng.standard_normal((batch, *shape)) if x is None else np.asarray(x, dtype=np.float64)
    networks = {n: Network(m, params, state, x, train, (seed,)) for n, m in models.items()}
    report = ModelReport(getattr(build, "__name__", first.name), {}, columns=["numeric", *models])
    set_stage(f"{first.name}: forward", {"x": x})
    cotangent = rng.standard_normal(
        first.apply(params, state, x, train=train, key=(seed,))[0].shape
    )
    found = {n: gradients(net, cotangent) for n, net in networks.items()}
    moved = {n: gradients(net.rounded(rng), cotangent) for n, net in networks.items()}
    _compare(report, networks, found, moved, cotangent, rng)
    for name, net in networks.items():
        wrong = [n for n, leaf in report.leaves.items() if _fails(leaf, name)]
        if wrong:
            _name_layer(report, name, net, wrong, rng)
    report.reproduce = {"seed": seed, "shapes": {"x": x.shape}}
    report.seconds = time.perf_counter() - start
    return report


def check_layer(
    layer,
    shape,
    *,
    batch: int = 3,
    seed: int = 0,
    train: bool = True,
    dtype="float64",
    timeout: float | None = None,
) -> Report:
    """Check one layer of any vocabulary as `check` does a function; its leaves are "x" and the
    paths of its parameters.

    `shape` is one example's; x and the parameters are drawn from `seed`. `timeout` limits the whole
    check, in seconds.
    """
    rng = np.random.default_rng(seed)
    with protected(timeout):
        set_stage(f"{layer.name}: init with shape {tuple(shape)}")
        _, params, state = layer.init((seed,), tuple(shape))
        set_stage("")
        params = trees.tree_map(lambda a: a.astype(dtype), _spread(params, rng))
        state = trees.tree_map(lambda a: np.asarray(a, dtype), state)
        x = rng.standard_normal((batch, *shape)).astype(dtype)
        return examine(whole(Network(layer, params, state, x, train, (seed,))), seed)


def interpretations(build) -> dict[str, Any]:
    """{"autograd": model, "reference": model, "fast": model}, as far as they exist; a model that
    is given stays itself.
    """
    from autocnn import models
    from autocnn.models.interpretations import interpretation

    modules = {name: interpretation(name) for name in ("autograd", "reference", "fast")}
    if not callable(getattr(build, "forward", None)):
        if not callable(build):
            raise ValueError(
                "check_model needs a builder such as ac.models.tiny_cnn, or a model; got "
                f"{type(build).__name__}"
            )
        parameters = inspect.signature(build).parameters
        if "nn" in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
            return {name: build(nn=module) for name, module in modules.items()}
        build = build()
    own = next((n for n, module in modules.items() if type(build) is module.Layer), "yours")
    built = {f"{own}*" if own != "yours" else own: build}
    for name, module in modules.items():
        if name == own:
            continue
        try:
            built[name] = models.rebuild(build, module)
        except (ValueError, TypeError):  # a word of the user's own: no other vocabulary has it
            continue
    return built


def _spread(params, rng):
    """Initial params moved off their zeros and ones, at which a missing factor or bias would not
    show.
    """
    return trees.tree_map(
        lambda a: a + 0.1 * rng.standard_normal(a.shape) * (np.std(a) or 1.0), params
    )


def _compare(report: ModelReport, networks: dict, found: dict, moved: dict, cotangent, rng) -> None:
    shapes = shapes_of(next(iter(networks.values())))
    outputs = [g.y for g in found.values()]
    if any(np.max(np.abs(y - outputs[0])) > 1e-9 * np.max(np.abs(outputs[0])) for y in outputs[1:]):
        report.causes.append(
            Cause(
                "unclassified",
                None,
                "the interpretations' outputs differ: the forward passes are not one function",
            )
        )
    directions = {path: rng.standard_normal(s) for path, s in shapes.items()}
    slopes, method = numeric_slopes(networks, directions, cotangent)
    report.columns[0] = method
    for path, shape in shapes.items():
        leaf = report.leaves[path] = Leaf(path, shape, "float64")
        u, numeric = directions[path], slopes[path]
        for name, grads in found.items():
            g = grads.by_leaf.get(path)
            if g is None or g.shape != shape:
                code, got = (
                    ("missing", "no gradient")
                    if g is None
                    else ("shape", f"a gradient of shape {g.shape}")
                )
                report.causes.append(
                    Cause(code, path, f"{name} gives {got} for this leaf of shape {shape}")
                )
                leaf.verdict = "wrong"
                leaf.notes.append(name)
                continue
            error, tolerance, scale = misses(g, moved[name].by_leaf[path], u, numeric)
            leaf.witnesses[name] = _digits(error, scale)
            wrong = not error <= tolerance
            if error >= leaf.error:
                leaf.error, leaf.tolerance = error, tolerance
            if wrong:
                leaf.verdict = "wrong"
                leaf.notes.append(name)
        good = [g.by_leaf[path] for n, g in found.items() if n not in leaf.notes]
        if len(good) > 1:
            top = max(float(np.max(np.abs(g))) for g in good) or 1.0
            leaf.witnesses["entrywise"] = _digits(
                max(float(np.max(np.abs(g - good[0]))) for g in good[1:]), top
            )
    report.columns = (
        [*found, "entrywise"]
        if any("entrywise" in leaf.witnesses for leaf in report.leaves.values())
        else [*found]
    )
    report.notes.append(
        f"digits of agreement with the {method} along a random direction of each leaf; "
        "entrywise: with one another"
    )


def _digits(error: float, scale: float) -> float:
    return min(16.0, -math.log10(max(error / scale, 1e-16))) if scale else 16.0


def _fails(leaf: Leaf, name: str) -> bool:
    return leaf.verdict == "wrong" and name in leaf.notes


def _name_layer(report: ModelReport, name: str, net: Network, wrong: list[str], rng) -> None:
    found = broken_layer(net, rng)
    where = (
        f"{name}: wrong from {wrong[-1]} down" if len(wrong) > 1 else f"{name}: wrong at {wrong[0]}"
    )
    if found is None:
        report.causes.append(
            Cause(
                "unclassified",
                None,
                f"{where}; each layer by itself is right on what it was fed: the composition is "
                "wrong",
            )
        )
        return
    report.broken = found.path
    for cause in found.report.causes or [Cause("unclassified", None, "its gradient is wrong")]:
        leaf = f", {cause.leaf}" if cause.leaf else ""
        report.causes.append(
            cause._replace(leaf=f"{name} layer {found.path} {found.layer!r}{leaf}")
        )
