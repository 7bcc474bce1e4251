"""What `check_kernel` runs: the target in its own precision, the reference in float64 (golden) and
in the target's dtype (ruler), all on the same drawn values.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autocnn.gradcheck.kernels import backends
from autocnn.gradcheck.kernels.backends import Backend
from autocnn.gradcheck.kernels.limits import Stage, within
from autocnn.gradcheck.kernels.numeric import Numeric
from autocnn.gradcheck.problem import CallError

__all__ = ["OUTPUT", "Mutates", "Result", "Setup"]

OUTPUT = "(output "  # prefix under which outputs are compared beside the gradients


@dataclass(frozen=True)
class Result:
    """One run: gradients by leaf as they came (native), as float64, and the outputs in float64."""

    native: dict[str, Any]
    gradients: dict[str, np.ndarray]
    outputs: list[np.ndarray]


@dataclass(frozen=True)
class Setup:
    """A target, its reference and the drawn values. `values` holds every array argument: floats
    as float64 numbers that the target's dtype represents exactly, integers as they are.
    """

    label: str
    target: Callable
    reference: Callable | None
    backend: Backend
    values: dict[str, np.ndarray]
    options: dict[str, Any]
    order: tuple[str, ...]
    leaves: tuple[str, ...]
    dtypes: dict[str, str]
    device: Any
    timeout: float
    #: the library of the reference, where it is another than the target's
    other: Backend | None = None
    numeric: Numeric = field(default_factory=Numeric)

    @property
    def dtype(self) -> str:
        """The coarsest dtype among the leaves: what the result can be held to."""
        return max((self.dtypes[n] for n in self.leaves), key=lambda d: backends.DTYPES[d][0])

    def represent(self, array: np.ndarray, dtype: str | None = None) -> np.ndarray:
        """Float entries rounded to the target's dtype, as float64."""
        if array.dtype.kind != "f":
            return array
        return self.backend.read(self.backend.make(array, dtype or self.dtype, None))

    def rounded(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Each leaf's values, rounded to its dtype."""
        return {n: self.represent(v, self.dtypes.get(n)) for n, v in values.items()}

    def draw(self, shapes: list[tuple[int, ...]], rng: np.random.Generator) -> list[np.ndarray]:
        """Normal cotangents, rounded to the target's dtype."""
        return [self.represent(np.asarray(rng.standard_normal(s))) for s in shapes]

    def arguments(
        self, values: dict[str, np.ndarray], wide: bool, other: Backend | None = None
    ) -> dict[str, Any]:
        """Native arguments in the target's dtypes, or with all floats in float64; of the library
        `other` where it is given."""
        made = {}
        backend, device = other or self.backend, None if other else self.device
        for name in self.order:
            if name not in values:
                made[name] = self.options[name]
                continue
            dtype = "float64" if wide and name in self.dtypes else self.dtypes.get(name)
            made[name] = backend.make(values[name], dtype, device)
        return made

    def golden(self, values: dict[str, np.ndarray], dys: list[np.ndarray]) -> dict:
        """The reference in float64: gradients by leaf, and outputs by `OUTPUT` + number."""
        return self._reference(values, dys, wide=True)

    def ruler(self, values: dict[str, np.ndarray], dys: list[np.ndarray]) -> dict:
        """The reference in the target's dtype, matrix products at full precision."""
        return self._reference(values, dys, wide=False)

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the reference's outputs."""
        function, backend = self.reference or self.target, self.other or self.backend

        def thunk(stage: Stage) -> list[tuple[int, ...]]:
            with self._plain(True):
                given = self.arguments(self.values, True, self.other)
                call = backend.run(function, given, self.leaves)
                return [tuple(backend.read(y).shape) for y in call.outputs]

        return within(thunk, self.timeout, self._reference_name(), self.values, False)

    def _reference_name(self) -> str:
        return f"{getattr(self.reference or self.target, '__name__', 'function')} (the reference)"

    def _plain(self, wide: bool) -> contextlib.AbstractContextManager:
        """Without custom rules, where the target is its own reference."""
        if self.reference is not None:
            return contextlib.nullcontext()
        return self.backend.plain(not wide or self.dtype == "float64")

    def _reference(self, values, dys, wide: bool) -> dict[str, np.ndarray]:
        function, backend = self.reference or self.target, self.other or self.backend
        given = self.arguments(values, wide, self.other)

        def thunk(stage: Stage):
            with self._plain(wide), backend.precise():
                call = backend.run(function, given, self.leaves)
                stage.now = "backward"
                if call.backward is not backends.needs_backward:
                    return call, call.backward(self.cotangents(call.outputs, dys, self.other))
                if not wide:  # its gradient is numeric, and only float64 is exact enough for that
                    return call, None
                return call, self.numeric.gradients(function, given, self.leaves, dys)

        call, grads = within(thunk, self.timeout, self._reference_name(), values, False)
        if grads is None:
            return self._outputs(call, backend)
        found = {}
        for name in self.leaves:
            g = grads.get(name)
            found[name] = np.zeros(values[name].shape) if g is None else np.array(backend.read(g))
            if found[name].shape != values[name].shape:
                raise CallError(
                    f"{self.label}: the reference's gradient of {name} has shape "
                    f"{found[name].shape}, {name} {values[name].shape}"
                )
        return found | self._outputs(call, backend)

    def _outputs(self, call: backends.Call, backend: Backend) -> dict[str, np.ndarray]:
        return {f"{OUTPUT}{k})": np.array(backend.read(y)) for k, y in enumerate(call.outputs)}

    def cotangents(
        self, outputs: list[Any], dys: list[np.ndarray], other: Backend | None = None
    ) -> list[Any]:
        """`dys` as native arrays in the outputs' dtypes, of the library `other` where it is
        given."""
        backend, device = other or self.backend, None if other else self.device
        return [
            backend.make(dy, backends.dtype_name(y.dtype), device)
            for y, dy in zip(outputs, dys, strict=True)
        ]

    def _same_device(self, what: str, array: Any) -> None:
        place = self.backend.device(array)
        if self.device is not None and place != self.device:
            raise CallError(
                f"{self.label} returns {what} on {place}; its arguments are on {self.device}"
            )

    def run(
        self,
        values: dict[str, np.ndarray],
        dys: list[np.ndarray],
        change: Callable | None = None,
        precise: bool = False,
    ) -> Result:
        """The target, once. `change(arguments, cotangents)` may replace both before they are used.

        Raises CallError when the target raises, hangs, or returns on another device.
        """

        def thunk(stage: Stage):
            arguments = self.arguments(values, False)
            with self.backend.precise() if precise else contextlib.nullcontext():
                if change is not None:
                    arguments, _ = change(arguments, None)
                before = {n: self.backend.read(arguments[n]).copy() for n in self.values}
                call = self.backend.run(self.target, arguments, self.leaves)
                got = [tuple(y.shape) for y in call.outputs]
                if got != [d.shape for d in dys]:
                    raise CallError(
                        f"{self.label} returns shape {', '.join(map(str, got))}, the reference "
                        f"{', '.join(str(d.shape) for d in dys)}: they are not the same function"
                    )
                for y in call.outputs:
                    self._same_device("its output", y)
                dy = self.cotangents(call.outputs, dys)
                if change is not None:
                    _, dy = change(None, dy)
                stage.now = "backward"
                grads = call.backward(dy)
            for name, old in before.items():
                if not np.array_equal(old, self.backend.read(arguments[name]), equal_nan=True):
                    raise Mutates(name, f"{self.label} writes into its argument {name}")
            for name, gradient in grads.items():
                if gradient is not None:
                    self._same_device(f"the gradient of {name}", gradient)
            read = {n: np.array(self.backend.read(g)) for n, g in grads.items() if g is not None}
            return Result(grads, read, [np.array(self.backend.read(y)) for y in call.outputs])

        return within(thunk, self.timeout, self.label, values)


class Mutates(CallError):
    """The target changed an argument; `args[0]` is its name."""

    def __init__(self, name: str, message: str):
        super().__init__(message)
        self.name = name
