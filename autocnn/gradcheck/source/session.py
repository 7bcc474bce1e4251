"""Runs of an instrumented program: its true derivatives, its gradients, and both compared."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autocnn.gradcheck.problem import CallError, Output, Problem, run
from autocnn.gradcheck.source.effort import Effort
from autocnn.gradcheck.source.instrument import Instrumenter, Sites
from autocnn.gradcheck.source.program import Program
from autocnn.gradcheck.source.trace import TimeUp, Tracer

__all__ = ["NoPlace", "Point", "Session"]

STEP = 1e-20
FAILURES = (CallError, TimeUp, ArithmeticError, ValueError, TypeError, LookupError, NameError)
FAILURES += (AttributeError, AssertionError, MemoryError, RuntimeError)


class NoPlace(Exception):
    """Why no statement can be named, in one line."""


@dataclass(eq=False)
class Point:
    """Values of the leaves, a cotangent, and what the leaves' true derivatives are there.

    `rows[leaf]` are the directions along which a gradient is compared (all unit vectors for a
    small leaf), `truth[leaf]` the derivatives along them.
    """

    values: dict[str, np.ndarray]
    dy: np.ndarray
    rows: dict[str, np.ndarray | None]
    truth: dict[str, np.ndarray]
    scale: float
    y: np.ndarray = field(default_factory=lambda: np.zeros(0))


class Session:
    """One program under observation, within `budget` nominal seconds of work."""

    def __init__(self, program: Program, seed: int = 0, budget: float = 4.0) -> None:
        self.effort = Effort(budget)
        self.program = program
        self.rng = np.random.default_rng(seed)
        self.sites, self.tracer = Sites(), Tracer(self.effort)
        self.real = Instrumenter(self.sites, self.tracer, False, program.modules)
        self.lifted = Instrumenter(self.sites, self.tracer, True, program.modules)
        self.problem = self.rebuilt(self.real, self.lifted)
        self.exact = True
        self.seconds, self.steps = 1e-3, 1000  # of one forward run
        self.leaves = program.problem.leaves
        self.shapes: dict[str, tuple] = {}

    def rebuilt(self, real: Instrumenter, lifted: Instrumenter | None = None) -> Problem:
        """The problem around instrumented copies."""
        build = self.program.build
        return replace(self.program.problem, call=build(real), lifted=lifted and build(lifted))

    def left(self) -> float:
        """The share of the budget that remains."""
        return self.effort.left / self.effort.budget

    @property
    def patience(self) -> int:
        """Statements after which a changed backward pass is taken for one that does not end."""
        return 10_000 + 40 * self.steps

    @property
    def tolerance(self) -> float:
        """The relative error to which a true derivative is known."""
        return 1e-9 if self.exact else 3e-6

    def forward(
        self, values: dict[str, np.ndarray], lifted: bool = False, problem: Problem | None = None
    ) -> Output:
        """One forward call on copies of the values; its turns are counted from nought."""
        self.tracer.begin()
        self.effort.runs += 1
        return run(problem or self.problem, values, "forward", lifted)

    def gradients(self, out: Output, dy: np.ndarray) -> dict[str, Any]:
        """One backward call; its turns are counted from nought."""
        self.tracer.begin()
        self.effort.runs += 1
        return out.backward(dy)

    def slope(self, values: dict[str, np.ndarray], dy: np.ndarray, name: str, u) -> float:
        """d/dt dy . y(leaf + t u)."""
        if self.exact:
            y = self.forward({**values, name: values[name] + 1j * STEP * u}, True).flat
            return float(dy @ y.imag) / STEP if y.dtype.kind == "c" else 0.0
        return self._difference(
            lambda t: self.forward({**values, name: values[name] + t * u}).flat,
            dy,
            _rms(values[name]),
        )

    def _difference(self, f, dy: np.ndarray, unit: float) -> float:
        h = 2.0**-12 * unit
        near, far = (dy @ (f(t) - f(-t)) / (2 * t) for t in (h, 2 * h))
        return float(4 * near - far) / 3

    def _measured(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """The outputs, after noting what one forward run costs."""
        effort, fastest = self.effort, float("inf")
        for _ in range(3):
            start, spent, steps = time.thread_time(), effort.spent, effort.steps
            y = self.forward(values).flat
            fastest = min(fastest, time.thread_time() - start)
            self.seconds, self.steps = effort.spent - spent, effort.steps - steps
        effort.calibrate(self.seconds, fastest)
        self.seconds *= effort.scale
        return y

    def choose_method(self, values: dict[str, np.ndarray], dy: np.ndarray) -> None:
        """Use the complex step where real differences confirm it for every leaf."""
        y = self._measured(values)
        for name in self.leaves:
            u = self.rng.standard_normal(values[name].shape)
            self.exact = False
            real = self.slope(values, dy, name, u)
            self.exact = True
            try:
                guess = self.slope(values, dy, name, u)
            except FAILURES:
                self.exact = False
                return
            size = abs(real) + 1e-6 * float(np.abs(dy) @ np.abs(y)) + 1e-12
            if not abs(guess - real) <= 1e-5 * size:
                # one kink on the way of the difference is no reason to give up: try nearer
                self.exact = False
                near = self._difference(
                    lambda t, n=name, w=u: self.forward({**values, n: values[n] + t * w}).flat,
                    dy,
                    2.0**-10 * _rms(values[name]),
                )
                if not abs(guess - near) <= 1e-4 * (abs(near) + 1e-4 * size):
                    return
            self.exact = True

    def point(
        self, values: dict[str, np.ndarray], few: bool = False, seed: int = 7, unit: bool = False
    ) -> Point:
        """The true derivatives at some values. `few` directions suffice to verify an edit. With
        `unit`, the cotangent of a number is 1, as for gradients computed beside a loss."""
        y = self.forward(values).flat
        if not np.all(np.isfinite(y)):
            raise CallError("not finite")
        dy = np.random.default_rng(seed).standard_normal(y.size)
        dy = np.ones(1) if unit and y.size == 1 else dy
        if not self.shapes:
            self.choose_method(values, dy)
        total = sum(values[n].size for n in self.leaves)
        most = int(min(400, max(48, 0.25 / max(self.seconds, 1e-5))))
        rows: dict[str, np.ndarray | None] = {}
        for name in self.leaves:
            size = values[name].size
            share = 3 if few else max(8, most * size // total)
            rows[name] = (
                None if size <= share else self.rng.standard_normal((share, size)) / size**0.5
            )
        truth = {}
        for name in self.leaves:
            shape = values[name].shape
            directions = np.eye(values[name].size) if rows[name] is None else rows[name]
            truth[name] = np.array(
                [self.slope(values, dy, name, u.reshape(shape)) for u in directions]
            )
            self.shapes[name] = shape
        scale = max((float(np.max(np.abs(t))) for t in truth.values() if t.size), default=1.0)
        if not np.isfinite(scale):
            raise CallError("not finite")
        return Point(values, dy, rows, truth, scale, y)

    def seen(self, point: Point, gradients: dict[str, Any]) -> dict[str, np.ndarray | None]:
        """The gradients along the point's directions; None where one is missing or has another
        shape."""
        found: dict[str, np.ndarray | None] = {}
        for name in self.leaves:
            try:
                g = np.asarray(_plain(gradients.get(name)), dtype=float)
            except (TypeError, ValueError):
                g = np.zeros(0)
            if g.shape != self.shapes[name] or not np.all(np.isfinite(g)):
                found[name] = None
                continue
            rows = point.rows[name]
            found[name] = g.ravel() if rows is None else rows @ g.ravel()
        return found

    def wrong(self, point: Point, gradients: dict[str, Any], loose: float = 1.0) -> list[str]:
        """The leaves whose gradients are not the true ones."""
        seen = self.seen(point, gradients)
        return [n for n in self.leaves if not self.agrees(point, n, seen[n], loose)]

    def distance(self, point: Point, gradients: dict[str, Any], name: str) -> float:
        """How far the gradient of one leaf is from the true one along the point's directions."""
        seen = self.seen(point, gradients)[name]
        return (
            np.inf if seen is None else float(np.max(np.abs(point.truth[name] - seen), initial=0))
        )

    def agrees(self, point: Point, name: str, seen: np.ndarray | None, loose: float = 1.0) -> bool:
        """True where the gradient of one leaf, along the point's directions, is right."""
        if seen is None:
            return False
        truth = point.truth[name]
        if not truth.size:
            return True
        size = max(float(np.max(np.abs(truth))), float(np.max(np.abs(seen))))
        bound = self.tolerance * (size + 1e-3 * point.scale) * loose
        return bool(np.max(np.abs(truth - seen)) <= bound)

    def elsewhere(self, values: dict[str, np.ndarray], attempt: int) -> dict[str, np.ndarray]:
        """Other values of the same shapes and, where all are positive, of the same sign."""
        rng = np.random.default_rng(100 + attempt)
        near = 0.4 * 0.5 ** (attempt // 4)
        moved = {}
        for name, x in values.items():
            step = rng.standard_normal(x.shape)
            positive = x.size and np.all(x > 0)
            moved[name] = x * np.exp(near * step) if positive else x + near * _rms(x) * step
        return moved


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(x) ** 2))) or 1.0 if x.size else 1.0
