"""The custom torch.autograd.Functions that a call runs through, each with what it is fed.

They are recorded as their forward runs, and again by the graph: whatever node of it belongs to a
Function that was not seen is said.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from autocnn.gradcheck.devices import is_tensor
from autocnn.gradcheck.modules.report import CustomRule
from autocnn.gradcheck.places import cells_of
from autocnn.gradcheck.problem import CallError

__all__ = ["Recorder", "check_rules", "rule_name"]

MOST = 3  # kinds of call of one rule that are checked: shapes, dtypes and options tell them apart


@dataclass
class _Call:
    """The arguments of one call, tensors as detached copies, and which need a gradient."""

    arguments: tuple
    needs: tuple[bool, ...]


class Recorder:
    """What was called: Function -> its distinct calls, their number and the modules they are in."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin again."""
        self.calls: dict[type, dict[Any, _Call]] = {}
        self.counts: dict[type, int] = {}
        self.used_in: dict[type, dict[str, None]] = {}
        self.unseen: dict[type, None] = {}
        self.path: list[str] = []

    def take(self, function: type, arguments: tuple) -> None:
        """Keep one call."""
        self.counts[function] = self.counts.get(function, 0) + 1
        if self.path and self.path[-1]:
            self.used_in.setdefault(function, {})[self.path[-1]] = None
        needs = tuple(is_tensor(a) and a.requires_grad for a in arguments)
        key = (needs, tuple(_kind(a) for a in arguments))
        found = self.calls.setdefault(function, {})
        if key not in found and len(found) < MOST:
            kept = tuple(a.detach().clone() if is_tensor(a) else a for a in arguments)
            found[key] = _Call(kept, needs)

    def look_at(self, outputs: list[Any]) -> None:
        """Walk the graph behind the outputs for Functions that were not recorded."""
        todo = [o.grad_fn for o in outputs if is_tensor(o) and o.grad_fn is not None]
        seen: set[Any] = set()
        while todo:
            node = todo.pop()
            if node in seen:
                continue
            seen.add(node)
            todo += [n for n, _ in node.next_functions if n is not None]
            function = getattr(type(node), "_forward_cls", None)
            if function is not None and _is_users(function) and function not in self.calls:
                self.unseen[function] = None


def _kind(value: Any) -> Any:
    if is_tensor(value):
        return tuple(value.shape), value.dtype
    simple = isinstance(value, int | float | str | bool | None)
    return value if simple else type(value)


def _is_users(function: type) -> bool:
    """Was it written by the author of the network, rather than by torch?"""
    home = function.__module__ or ""
    if home == "torch._library.autograd":
        return not function.__name__.startswith(("GeneratedBackwardFor_prims_",))
    return home.partition(".")[0] not in ("torch", "torchvision", "torchaudio")


def _all_functions() -> Iterator[type]:
    import torch

    todo = [torch.autograd.Function]
    while todo:
        for found in todo.pop().__subclasses__():
            todo.append(found)
            if _is_users(found):
                yield found


@contextlib.contextmanager
def recording(recorder: Recorder, module: Any = None) -> Iterator[None]:
    """Record every call of a custom Function, and in which part of `module` it is made."""
    import torch

    changed: dict[type, Any] = {}
    original = torch.autograd.Function.__dict__["apply"]

    def watch(function: type) -> None:
        if function in changed or not _is_users(function):
            return
        forward = function.forward
        split = takes_setup(function)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            recorder.take(function, tuple(args if split else args[1:]))
            return forward(*args, **kwargs)

        changed[function] = function.__dict__.get("forward")
        function.forward = staticmethod(recorded)

    def apply(cls: type, *args: Any, **kwargs: Any) -> Any:
        watch(cls)  # one that was defined after recording began
        return original.__get__(None, cls)(*args, **kwargs)

    hooks = _path_hooks(recorder, module) if module is not None else []
    for function in list(_all_functions()):
        watch(function)
    torch.autograd.Function.apply = classmethod(apply)
    try:
        yield
    finally:
        torch.autograd.Function.apply = original
        for function, forward in changed.items():
            if forward is None:
                del function.forward
            else:
                function.forward = forward
        for hook in hooks:
            hook.remove()


def _path_hooks(recorder: Recorder, module: Any) -> list[Any]:
    hooks = []
    for name, part in module.named_modules():
        if not hasattr(part, "register_forward_pre_hook"):
            continue

        def enter(*_: Any, name: str = name) -> None:
            recorder.path.append(name)

        def leave(*_: Any) -> None:
            recorder.path.pop()

        with contextlib.suppress(RuntimeError):  # scripted modules take no hooks
            hooks.append(part.register_forward_pre_hook(enter))
            hooks.append(part.register_forward_hook(leave, always_call=True))
    return hooks


def takes_setup(function: type) -> bool:
    """Is ctx filled by setup_context, so that forward takes the arguments alone?"""
    import torch

    return function.setup_context is not torch.autograd.Function.setup_context


def rule_name(function: type) -> str:
    """ "Mul.backward", or "my::mul.backward" for an operator of torch.library."""
    forward = function.forward
    if function.__module__ == "torch._library.autograd":
        cells = dict(cells_of(forward)) if inspect.isfunction(forward) else {}
        operator = cells.get("op")
        if operator is not None:
            return f"{operator._namespace}::{operator._opname}.backward"
    return f"{function.__name__}.backward"


def _names(function: type, count: int) -> list[str]:
    """What the arguments of a Function are called."""
    try:
        parameters = list(inspect.signature(function.forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if not takes_setup(function):
        parameters = parameters[1:]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names[:count] + [f"arg{k}" for k in range(len(names), count)]


def check_rules(recorder: Recorder, examine: Callable[[Any], Any]) -> list[CustomRule]:
    """Each recorded Function on what it was fed; `examine(problem)` gives the report."""
    from autocnn.gradcheck.frameworks import framework_problem

    rules = []
    for function, calls in recorder.calls.items():
        rule = CustomRule(
            rule_name(function),
            recorder.counts[function],
            list(recorder.used_in.get(function, {})),
        )
        for call in calls.values():
            names = _names(function, len(call.arguments))
            arguments = dict(zip(names, call.arguments, strict=True))
            needs = zip(names, call.arguments, call.needs, strict=True)
            wrt = tuple(n for n, a, need in needs if need and a.is_floating_point())
            if not wrt:
                continue
            try:
                rule.reports.append(examine(framework_problem(function, arguments, wrt)))
            except (CallError, ValueError, RuntimeError, TypeError) as error:
                rule.reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not rule.reports and not rule.reason:
            rule.reason = "none of its real arguments needs a gradient"
        rules.append(rule)
    for function in recorder.unseen:
        reason = "its call was not seen (compiled, or made before the check)"
        rules.append(CustomRule(rule_name(function), 1, reason=reason))
    return rules
