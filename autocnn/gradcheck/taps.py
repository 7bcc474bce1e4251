"""Inside a network: slopes by the complex step from the layer that moved on, and each layer on
the input that it was fed.
"""

from typing import Any, NamedTuple

import numpy as np

from autocnn import trees
from autocnn.gradcheck.examine import examine
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.point import LeafAt, Point, Witness, rms
from autocnn.gradcheck.problem import Problem, guarded
from autocnn.gradcheck.protection import set_stage
from autocnn.gradcheck.report import Report
from autocnn.gradcheck.witnesses import STEP, Slope, slope
from autocnn.inspection.walk import Tap, parts_at_work
from autocnn.keys import child

MARGIN = 64


class Network(NamedTuple):
    """One interpretation at one point."""

    model: Any
    params: Any
    state: Any
    x: np.ndarray
    train: bool
    key: tuple[int, ...]

    def rounded(self, rng: np.random.Generator) -> "Network":
        """The same with every number moved by one rounding: how far the gradient moves is how
        well it is known.
        """

        def nudge(a):
            return a * (1 + np.finfo(np.float64).eps * rng.choice([-1.0, 1.0], a.shape))

        return self._replace(params=trees.tree_map(nudge, self.params), x=nudge(self.x))


class Broken(NamedTuple):
    """A layer whose backward is wrong: its path in the network, the layer, and the checker's
    report on it alone.
    """

    path: str
    layer: Any
    report: Report


def replaced(tree, path: list[str], leaf):
    """A copy of the tree with one leaf exchanged."""
    if not path:
        return leaf
    key = path[0] if isinstance(tree, dict) else int(path[0])
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[key] = replaced(tree[key], path[1:], leaf)
    return type(tree)(copy) if not isinstance(tree, dict) else copy


def leaf_at(tree, path: list[str]):
    """Return what stands in a tree at a path, its keys as strings."""
    for key in path:
        tree = tree[key] if isinstance(tree, dict) else tree[int(key)]
    return tree


def feeds(net: Network) -> list[np.ndarray]:
    """What each part of a serial network is fed; any other network counts as one part."""
    inputs = [tap.x for tap in _at_work(net)] if net.model.name == "serial" else []
    return inputs or [net.x]


def _at_work(net: Network) -> list[Tap]:
    """The parts of a network with what each is fed."""
    return parts_at_work(net.model, net.params, net.state, net.x, net.train, net.key)


def moved_output(net: Network, inputs: list[np.ndarray], path: str, step: np.ndarray) -> np.ndarray:
    """y with `step` added to one leaf, computed from the part that holds it."""
    set_stage(f"{net.model.name}: forward ({path} moved)", {"x": net.x})
    if len(inputs) == 1:
        params, x = net.params, net.x
        if path == "x":
            x = x + step
        else:
            params = replaced(params, path.split("."), leaf_at(params, path.split(".")) + step)
        return net.model.forward(params, net.state, x, net.train, net.key)[0]
    keys = path.split(".")
    first = 0 if path == "x" else int(keys[0])
    x = inputs[first] + step if path == "x" else inputs[first]
    for i in range(first, len(inputs)):
        params = net.params[i]
        if path != "x" and i == first:
            params = replaced(params, keys[1:], leaf_at(params, keys[1:]) + step)
        x = net.model.parts[i].forward(params, net.state[i], x, net.train, child(net.key, i))[0]
    return x


def numeric_slopes(
    networks: dict[str, Network], directions: dict[str, np.ndarray], v: np.ndarray
) -> tuple[dict[str, Slope], str]:
    """v . J u for each leaf, by the complex step of the first interpretation whose forward keeps
    it, else differences.
    """
    for net in sorted(
        networks.values(), key=lambda n: not type(n.model).__module__.startswith("reference")
    ):
        inputs = feeds(net)
        if not _keeps_complex(net, inputs, directions, v):
            continue
        slopes = {}
        for path, u in directions.items():
            jvp = moved_output(net, inputs, path, 1j * STEP * u).imag / STEP
            slopes[path] = Slope(
                float(np.vdot(v, jvp)), 0.0, float(np.abs(v * jvp).sum()), 0.0, jvp.ravel()
            )
        return slopes, "complex step"
    net = next(iter(networks.values()))
    problem = whole(net)
    real = Witness("real differences", False)
    point = Point(problem, problem.values())
    return {
        p: slope(LeafAt(point, p, real), u, v.ravel()) for p, u in directions.items()
    }, "real differences"


def _keeps_complex(net: Network, inputs, directions, v) -> bool:
    """Does the complex step agree with a real difference to 1e-5, for the input's direction and
    the last leaf's?
    """
    for path in {next(iter(directions)), list(directions)[-1]}:
        u = directions[path]
        try:
            jvp = moved_output(net, inputs, path, 1j * STEP * u)
        except (TypeError, ValueError, FloatingPointError):
            return False
        if jvp.dtype.kind != "c":
            return False
        jvp, y = jvp.imag / STEP, moved_output(net, inputs, path, 0 * u)
        unit = rms(net.x if path == "x" else leaf_at(net.params, path.split(".")))
        best = np.inf
        for step in (2.0**-12, 2.0**-17, 2.0**-22):
            h = step * unit
            ends = [moved_output(net, inputs, path, t * u) for t in (h, -h)]
            gap = np.abs((ends[0] - ends[1]) / (2 * h) - jvp)
            best = min(best, float(np.median(gap)) - 1e-13 * float(np.max(np.abs(y))) / h)
        if best > 1e-4 * float(np.sqrt(np.mean(jvp**2))):
            return False
    return True


def whole(net: Network) -> Problem:
    """A layer or a network as a Problem with the leaves "x" and the paths of its parameters."""
    paths = [path for path, _ in trees.leaves(net.params)]
    arguments = {"x": net.x, **{path or "params": a for path, a in trees.leaves(net.params)}}

    def call(values):
        params = net.params
        for path in paths:
            params = replaced(params, path.split(".") if path else [], values[path or "params"])
        if any(np.iscomplexobj(a) for a in values.values()):
            return (
                net.model.forward(params, net.state, values["x"], net.train, net.key)[0],
                None,
                dict,
            )
        y, _, back = net.model.vjp(params, net.state, values["x"], train=net.train, key=net.key)

        def backward(dy):
            dx, dparams = back(dy)
            return {"x": dx, **{path or "params": g for path, g in trees.leaves(dparams)}}

        return y, backward, dict

    return make_problem(repr(net.model)[:60], call, arguments)


class Gradients(NamedTuple):
    """One interpretation's output and its gradients by leaf: "x" and the paths of params."""

    y: np.ndarray
    by_leaf: dict[str, np.ndarray]


def gradients(net: Network, cotangent: np.ndarray) -> Gradients:
    """y and all gradients of one interpretation, in one backward pass."""
    point = (net.params, net.state, net.x)
    y, _, backward = guarded(
        lambda: net.model.vjp(*point, train=net.train, key=net.key),
        f"{net.model.name}: forward",
        {"x": net.x},
    )
    dx, dparams = guarded(
        lambda: backward(cotangent.copy()), f"{net.model.name}: backward", {"x": net.x}
    )
    return Gradients(
        y, {"x": np.asarray(dx), **{path: np.asarray(g) for path, g in trees.leaves(dparams)}}
    )


def shapes_of(net: Network) -> dict[str, tuple[int, ...]]:
    """The leaves of a network: its input and its parameters by path."""
    return {"x": net.x.shape, **{path: a.shape for path, a in trees.leaves(net.params)}}


def misses(
    g: np.ndarray, near: np.ndarray, u: np.ndarray, numeric: Slope
) -> tuple[float, float, float]:
    """(error, tolerance, S) of one gradient along u; `near` is the gradient after one rounding
    of every number.
    """
    scale = float(np.abs(g * u).sum()) + numeric.spread
    blur = float(np.linalg.norm(near - g))  # what a random direction sees of it, on average
    error = abs(float(np.vdot(g, u)) - numeric.value)
    return error, MARGIN * (np.finfo(np.float64).eps * scale + blur) + 4 * numeric.error, scale


def wrong_leaves(net: Network, rng: np.random.Generator) -> list[str]:
    """The leaves of one network or layer whose gradients miss their slopes, each along one
    direction.
    """
    shapes = shapes_of(net)
    v = rng.standard_normal(
        net.model.forward(net.params, net.state, net.x, net.train, net.key)[0].shape
    )
    found, near = gradients(net, v).by_leaf, gradients(net.rounded(rng), v).by_leaf
    if any(found.get(path) is None or found[path].shape != s for path, s in shapes.items()):
        return list(shapes)
    directions = {path: rng.standard_normal(s) for path, s in shapes.items()}
    slopes, _ = numeric_slopes({"": net}, directions, v)
    compared = {p: misses(found[p], near[p], directions[p], slopes[p]) for p in shapes}
    return [path for path, (error, tolerance, _) in compared.items() if not error <= tolerance]


def broken_layer(net: Network, rng: np.random.Generator, path: str = "") -> Broken | None:
    """The layer nearest the output whose own backward is wrong on the input that it was fed,
    looking into its parts first.
    """
    for name, inner in reversed(list(_parts(net))):
        if wrong_leaves(inner, rng):
            found = broken_layer(inner, rng, f"{path}.{name}" if path else name)
            if found is not None:
                return found
    if (
        sum(1 for _ in shapes_of(net)) > 12
    ):  # a large composition, right in its parts: its own name is all there is to say
        return Broken(path, net.model, Report(net.model.name, {})) if path else None
    report = examine(whole(net))
    return None if report.ok else Broken(path or "0", net.model, report)


def _parts(net: Network):
    """(name, part on its own input) of a network that is made of parts."""
    for tap in _at_work(net):
        (step,) = tap.path
        yield str(step), Network(tap.layer, tap.params, tap.state, tap.x, net.train, tap.key)
