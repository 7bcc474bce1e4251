"""The methods of an object that compute forward and backward, and how they want to be called."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from autocnn.gradcheck.adapters.arguments import positional
from autocnn.gradcheck.adapters.tensors import as_arrays, as_tensors, has_tensors, with_tensors
from autocnn.gradcheck.problem import CallError

__all__ = ["LEARNING_RATE", "BackwardCall", "Methods", "find_methods", "read_backward"]

FORWARD = (
    "forward", "forward_pass", "forwardpass", "forward_propagation", "forward_prop", "fprop",
    "feedforward", "feed_forward", "fwd", "_forward", "_fwd", "propagate", "forward_propagate",
    "loss", "__call__", "call", "compute", "apply",
)  # fmt: skip
BACKWARD = (
    "backward", "backward_pass", "backwardpass", "backprop", "back_prop", "backpropagate",
    "backward_propagation", "backward_prop", "back_propagation", "backpropagation", "bprop", "bwd",
    "gradient", "grad", "derivative", "_backward", "_bwd", "back_propagate", "pullback", "vjp",
    "compute_gradients", "compute_gradient",
)  # fmt: skip
#: Rate at which backward passes that update their parameters are run: a power of two, large enough
#: that subtracting the parameter costs few digits of the gradient.
LEARNING_RATE = 1024.0
_RATES = frozenset(
    [
        "lr",
        "learning_rate",
        "learningrate",
        "learn_rate",
        "eta",
        "rate",
        "step",
        "step_size",
        "lrate",
    ]
)
_CACHES = frozenset(["cache", "caches", "ctx", "context", "saved", "tape", "memory"])


class Methods(NamedTuple):
    """Names of the two methods, and of forward's parameters."""

    label: str
    forward: str
    backward: str | None
    names: tuple[str, ...]  # forward's own, in order
    shown: tuple[str, ...]  # what the leaves are called: "x" for the first
    signature: inspect.Signature | None
    tensors: frozenset[str] = frozenset()  # arguments that the object takes as torch tensors

    def bind(self, inputs: tuple, others: dict[str, Any]) -> dict[str, Any]:
        """The given arguments by the names that the report uses."""
        names = list(self.shown)
        if len(inputs) > len(names) and self.signature is not None:
            raise ValueError(
                f"{self.label}.{self.forward} takes ({', '.join(self.names)}), got {len(inputs)} "
                "arguments by position"
            )
        names += [f"arg{k}" for k in range(len(names), len(inputs))]
        named = dict(zip(names, inputs, strict=False))
        given = {**named, **others}
        if self.signature is not None:
            try:
                self.signature.bind(**self.own(given))
            except TypeError as error:
                raise ValueError(
                    f"{self.label}.{self.forward} takes ({', '.join(self.names)}), got "
                    f"{', '.join(given)}: {error}"
                ) from error
        return given

    def own(self, named: dict[str, Any]) -> dict[str, Any]:
        """The same by forward's own names."""
        own = dict(zip(self.shown, self.names, strict=False))
        return {own.get(n, n): as_tensors(v) if n in self.tensors else v for n, v in named.items()}

    def taking_tensors(self, named: dict[str, Any]) -> "tuple[Methods, dict[str, Any]]":
        """These methods with the names of the arguments that are torch tensors, and the arguments
        as arrays."""
        names = frozenset(n for n, v in named.items() if has_tensors(v))
        return self._replace(tensors=names), {n: as_arrays(v) for n, v in named.items()}


class BackwardCall(NamedTuple):
    """What each positional parameter of backward is given: "dy", "cache", a rate, or one of
    forward's arguments. `slot` is the place of dy, None when backward takes none."""

    method: str
    parts: tuple[str, ...]
    slot: int | None
    rate: bool = False
    takes_cache: bool = False
    has_default: bool = False
    ignores_dy: bool = False
    spread: int = 0  # so many outputs are passed one by one
    tensors: bool = False  # dy and forward's arguments are passed as torch tensors

    def run(
        self,
        mine: Any,
        dy: Any,
        nested: dict[str, Any],
        cache: Any,
        transform: Callable = lambda f: f,
    ) -> Any:
        """Call backward of `mine`, passed through `transform`."""
        values: list[Any] = []
        for part in self.parts:
            if part == "dy":
                if dy is None:
                    break  # left to its default
                values += list(dy) if self.spread else [dy]
            elif part == "cache":
                values.append(cache)
            elif part == "rate":
                values.append(LEARNING_RATE)
            else:
                values.append(nested[part])
        function = transform(getattr(mine, self.method))
        return with_tensors(function, *values) if self.tensors else function(*values)

    def of_the_output(self, methods: Methods) -> "BackwardCall | None":
        """The same with forward's first argument where dy was tried: loss.backward(y_pred, t)."""
        if self.slot is None or not methods.shown or len(self.parts) < 2:
            return None
        parts = [methods.shown[0] if p == "dy" else p for p in self.parts]
        return self._replace(parts=tuple(parts), slot=None)


def find_methods(layer: Any, method: str | None) -> Methods:
    """The forward and backward of an object, under any of their usual names.

    Raises ValueError when there are none.
    """
    if isinstance(layer, type):
        raise ValueError(
            f"{layer.__name__} is a class: pass an object of it, "
            f"check_object({layer.__name__}(...), x)"
        )
    label = type(layer).__name__
    forward = method or next((n for n in FORWARD if callable(getattr(layer, n, None))), None)
    backward = next((n for n in BACKWARD if callable(getattr(layer, n, None))), None)
    if forward is None or (backward is None and forward not in ("loss", method)):
        missing = "forward" if forward is None else "backward"
        instead = ""
        if callable(layer) and forward is None:
            instead = f"; a function is checked by check({getattr(layer, '__name__', 'f')}, x=x)"
        raise ValueError(
            f"{label} has no method {missing}: check_object needs forward(x) and "
            f"backward(dy){instead}"
        )
    if method is not None and method not in FORWARD[: FORWARD.index("loss")]:
        backward = None
    try:
        signature = inspect.signature(getattr(layer, forward))
    except (TypeError, ValueError):
        return Methods(label, forward, backward, ("x",), ("x",), None)
    names = tuple(
        p.name
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    )
    shown = ("x", *names[1:]) if names and "x" not in names[1:] else names
    return Methods(label, forward, backward, names, shown, signature)


def read_backward(
    layer: Any, methods: Methods, result: Any, nested: dict[str, Any]
) -> BackwardCall | None:
    """How backward is to be called, by its signature and what forward returned."""
    if methods.backward is None:
        return None
    read = positional(getattr(layer, methods.backward))
    if read is None or (read[1] and not read[0]):
        return BackwardCall(
            methods.backward, ("dy",), 0, tensors=has_tensors(result) or bool(methods.tensors)
        )
    parameters = read[0]
    own = {own: shown for shown, own in zip(methods.shown, methods.names, strict=False)}
    parts: list[str] = []
    rate = takes_cache = has_default = False
    slot = None
    count = len(result) if isinstance(result, tuple | list) else 1
    required = [p for p in parameters if p.default is p.empty]
    several = isinstance(result, tuple) and count > 1
    caching = several and any(p.name.lower() in _CACHES for p in required)
    outputs = count - caching if several else 1
    spread = outputs if outputs > 1 and len(required) >= outputs + caching else 0
    skip = 0
    for p in parameters:
        name = p.name.lower()
        if skip:
            skip -= 1
            continue
        if name in _CACHES and caching:
            parts.append("cache")
            takes_cache = True
        elif name in _RATES:
            parts.append("rate")
            rate = True
        elif own.get(p.name, p.name) in nested and (
            p.default is p.empty or own.get(p.name, p.name) in nested
        ):
            parts.append(own.get(p.name, p.name))
        elif slot is None:
            slot = len(parts)
            parts.append("dy")
            has_default = p.default is not p.empty
            skip = max(0, spread - 1)
        elif p.default is p.empty:
            raise CallError(
                f"{methods.label}.{methods.backward} takes "
                f"({', '.join(q.name for q in parameters)}): "
                f"nothing is known to pass for {p.name}. check_object calls backward(dy); wrap it: "
                f"check(lambda x: (layer.{methods.forward}(x), lambda dy: "
                f"layer.{methods.backward}(dy, ...)), x=x)"
            )
        else:
            break
    return BackwardCall(
        methods.backward, tuple(parts), slot, rate, takes_cache, has_default, False, spread,
        has_tensors(result) or bool(methods.tensors),
    )  # fmt: skip
