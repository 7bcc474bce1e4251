"""What `check_kernel` runs: the target in its own precision, the reference in float64 (golden) and
in the target's dtype (ruler), all on the same drawn values.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autocnn.gradcheck.kernels import backends
from autocnn.gradcheck.kernels.backends import Backend
from autocnn.gradcheck.kernels.limits import Stage, within
from autocnn.gradcheck.problem import CallError

__all__ = ["OUTPUT", "Result", "Setup", "make_setup"]

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

    def arguments(self, values: dict[str, np.ndarray], wide: bool) -> dict[str, Any]:
        """Native arguments in the target's dtypes, or with all floats in float64."""
        made = {}
        for name in self.order:
            if name not in values:
                made[name] = self.options[name]
                continue
            dtype = "float64" if wide and name in self.dtypes else self.dtypes.get(name)
            made[name] = self.backend.make(values[name], dtype, self.device)
        return made

    def golden(self, values: dict[str, np.ndarray], dys: list[np.ndarray]) -> dict:
        """The reference in float64: gradients by leaf, and outputs by `OUTPUT` + number."""
        return self._reference(values, dys, wide=True)

    def ruler(self, values: dict[str, np.ndarray], dys: list[np.ndarray]) -> dict:
        """The reference in the target's dtype, matrix products at full precision."""
        return self._reference(values, dys, wide=False)

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the reference's outputs."""
        function = self.reference or self.target

        def thunk(stage: Stage) -> list[tuple[int, ...]]:
            with self._plain(True):
                call = self.backend.run(function, self.arguments(self.values, True), self.leaves)
                return [tuple(self.backend.read(y).shape) for y in call.outputs]

        return within(thunk, self.timeout, self._reference_name(), self.values, False)

    def _reference_name(self) -> str:
        return f"{getattr(self.reference or self.target, '__name__', 'function')} (the reference)"

    def _plain(self, wide: bool) -> contextlib.AbstractContextManager:
        """Without custom rules, where the target is its own reference."""
        if self.reference is not None:
            return contextlib.nullcontext()
        return self.backend.plain(not wide or self.dtype == "float64")

    def _reference(self, values, dys, wide: bool) -> dict[str, np.ndarray]:
        function = self.reference or self.target

        def thunk(stage: Stage):
            with self._plain(wide), self.backend.precise():
                call = self.backend.run(function, self.arguments(values, wide), self.leaves)
                stage.now = "backward"
                return call, call.backward(self.cotangents(call.outputs, dys))

        call, grads = within(thunk, self.timeout, self._reference_name(), values, False)
        found = {}
        for name in self.leaves:
            g = grads.get(name)
            found[name] = (
                np.zeros(values[name].shape) if g is None else np.array(self.backend.read(g))
            )
            if found[name].shape != values[name].shape:
                raise CallError(
                    f"{self.label}: the reference's gradient of {name} has shape "
                    f"{found[name].shape}, {name} {values[name].shape}"
                )
        for k, y in enumerate(call.outputs):
            found[f"{OUTPUT}{k})"] = np.array(self.backend.read(y))
        return found

    def cotangents(self, outputs: list[Any], dys: list[np.ndarray]) -> list[Any]:
        """`dys` as native arrays in the outputs' dtypes."""
        return [
            self.backend.make(dy, backends.dtype_name(y.dtype), self.device)
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


def make_setup(
    target: Callable,
    reference: Callable | None,
    dtype: Any,
    wrt: Any,
    library: str | None,
    timeout: float,
    arguments: dict[str, Any],
) -> Setup:
    """Decide library, dtypes, device and leaves. Raises ValueError in one line for bad input."""
    label = getattr(target, "__name__", type(target).__name__)
    library = library or _library(target, arguments)
    backend = backends.get(library)
    arrays = {n: v for n, v in arguments.items() if hasattr(v, "dtype") and hasattr(v, "shape")}
    if reference is None and library == "numpy":
        raise ValueError(
            f"{label} takes NumPy arrays, which nothing differentiates: pass reference=, a "
            "function that returns (y, backward)"
        )
    device = _device(backend, arrays, label)
    dtypes, values = {}, {}
    for name, array in arrays.items():
        home = backends.get(backends.backend_of({name: array}))
        read = np.array(home.read(array))
        values[name] = read
        if read.dtype.kind == "c":
            raise ValueError(
                f"{name} is complex: check_kernel takes real arrays (gradcheck.check takes complex)"
            )
        if read.dtype.kind == "f":
            wanted = dtype.get(name) if isinstance(dtype, dict) else dtype
            dtypes[name] = backends.dtype_name(array.dtype if wanted is None else wanted)
            if not np.all(np.isfinite(read)):
                raise ValueError(f"{name} holds inf or nan: give finite values")
            if not read.size:
                raise ValueError(f"{name} is empty (shape {read.shape})")
    if not dtypes:
        got = ", ".join(f"{n}: {type(v).__name__}" for n, v in arguments.items()) or "no arguments"
        raise ValueError(f"{label}: nothing to differentiate, give a float array (got {got})")
    if dtype is None and len(set(dtypes.values())) > 1:
        raise ValueError(
            f"dtypes differ: {', '.join(f'{n} {d}' for n, d in dtypes.items())}; pass dtype='bf16' "
            f"for all, or dtype={{{', '.join(f'{n!r}: {d!r}' for n, d in dtypes.items())}}} to mix"
        )
    leaves = tuple(dtypes) if wrt is None else ((wrt,) if isinstance(wrt, str) else tuple(wrt))
    for name in leaves:
        if name not in dtypes:
            raise ValueError(f"wrt names {name!r}; the float arguments are {', '.join(dtypes)}")
    options = {n: v for n, v in arguments.items() if n not in arrays}
    order = tuple(arguments)
    chosen = (target, reference, backend, values, options, order, leaves, dtypes, device, timeout)
    setup = Setup(label, *chosen)
    rounded = setup.rounded(values)
    for name, v in rounded.items():
        if not np.all(np.isfinite(v)):
            top = float(np.max(np.abs(values[name])))
            raise ValueError(
                f"{name} reaches {top:.3g}, which {dtypes[name]} does not hold: scale it down"
            )
    values.update(rounded)
    return setup


def _library(target: Callable, arguments: dict[str, Any]) -> str:
    found = backends.backend_of(arguments)
    if found != "numpy":
        return found
    kinds = {c.__module__.split(".")[0] for c in type(target).__mro__}
    if isinstance(target, type):
        kinds |= {c.__module__.split(".")[0] for c in target.__mro__}
    if "torch" in kinds:
        return "torch"
    return "jax" if kinds & {"jax", "jaxlib"} else "numpy"


def _device(backend: Backend, arrays: dict[str, Any], label: str) -> Any:
    native = {n: a for n, a in arrays.items() if backends.backend_of({n: a}) == backend.name}
    if backend.name == "numpy" or not native:
        return None
    places = {n: backend.device(a) for n, a in native.items()}
    if len(set(places.values())) > 1:
        raise ValueError(
            f"{label}: devices differ: {', '.join(f'{n} on {p}' for n, p in places.items())}"
        )
    return next(iter(places.values())) if backend.name == "torch" else None
