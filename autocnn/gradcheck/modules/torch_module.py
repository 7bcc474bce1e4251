"""`check(module, x=x)`: the gradients of a torch.nn.Module against differences of its forward, and
the custom rules inside it one by one.
"""

import contextlib
import copy
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from autocnn.gradcheck import devices, pytrees
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.modules.parts import wrong_part
from autocnn.gradcheck.modules.report import NetworkReport, add_rules, network_report
from autocnn.gradcheck.modules.torch_rules import Recorder, check_rules, recording
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import Cause

__all__ = ["check_module", "is_module", "module_problem"]

GROUPS = 24  # leaves that are compared one by one; parameters of larger modules are put together


def is_module(value: Any) -> bool:
    """Is it a torch.nn.Module?"""
    return any(
        c.__module__.startswith("torch.nn.modules.module") and c.__name__ == "Module"
        for c in type(value).__mro__
    )


def check_module(
    module: Any, arrays: dict[str, Any], wrt: Any, seed: int, surrogate: bool, quick: bool
) -> NetworkReport:
    """Every gradient of a module, then its custom rules, then, if the rules are right and a
    gradient is not, the part of the module in which it goes wrong."""
    from autocnn.gradcheck.examine import examine

    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    problem = module_problem(module, arrays, wrt)
    with _dtypes_named(module, arrays):
        report = network_report(examine(problem, seed, surrogate, True, name_causes=False))
    recorder = Recorder()
    _record(problem, recorder, module)
    rules = check_rules(recorder, lambda p: examine(p, seed, surrogate, quick))
    report.notes = [n for n in report.notes if "complex-safe" not in n]
    for leaf in report.leaves.values():
        leaf.notes = [n for n in leaf.notes if "complex-safe" not in n]
    add_rules(report, rules)
    wrong = [n for n, leaf in report.leaves.items() if leaf.verdict == "wrong"]
    if wrong and not any(rule.verdict == "wrong" for rule in rules):
        report.causes.append(_between_rules(module, arrays, wrong, bool(rules), examine))
    report.seconds += sum(r.seconds for rule in rules for r in rule.reports)
    return report


@contextlib.contextmanager
def _dtypes_named(module: Any, arrays: dict[str, Any]) -> Iterator[None]:
    """Add to an error of a call that the inputs have another dtype than the parameters."""
    try:
        yield
    except CallError as error:
        kinds = {str(p.dtype) for p in module.parameters() if p.is_floating_point()}
        odd = [
            n
            for n, a in arrays.items()
            if devices.is_tensor(a) and a.is_floating_point() and str(a.dtype) not in kinds
        ]
        if not odd or not kinds:
            raise
        own, name = min(kinds), odd[0]
        text = (
            f"{error} ({name} is {str(arrays[name].dtype).removeprefix('torch.')}, the parameters "
            f"are {own.removeprefix('torch.')}: pass {name}={name}.to({own}), or module.double())"
        )
        raise CallError(text) from error


def _record(problem: Problem, recorder: Recorder, module: Any) -> None:
    """One forward and backward, recorded, in float64 where the module takes it."""
    values = {**problem.arguments, **problem.values(np.float64)}
    with recording(recorder, module):
        try:
            y, backward, _ = problem.call(values)
        except Exception:  # float64 is refused
            recorder.forget()
            y, backward, _ = problem.call(dict(problem.arguments))
        recorder.look_at(backward.outputs)
        ones = tuple(np.ones_like(p) for p in y) if isinstance(y, tuple) else np.ones_like(y)
        with contextlib.suppress(Exception):  # a rule that raises is reported by its own check
            backward(ones)  # rules inside checkpoints run in the backward pass


def _between_rules(module, arrays, wrong: list[str], custom: bool, examine) -> Cause:
    """Where the gradient goes wrong when every rule is right by itself."""

    def is_right(part: Any, inputs: dict[str, Any]) -> bool:
        try:
            tensors = [v for a in inputs.values() for _, v in pytrees.leaves(a)]
            if any(str(getattr(t, "dtype", "")) == "torch.float64" for t in tensors):
                part = copy.deepcopy(part).double()
            problem = module_problem(part, inputs, None)
            return examine(problem, 0, False, True, name_causes=False).ok
        except (CallError, ValueError, RuntimeError, TypeError):
            return True  # it cannot be checked by itself

    path, kind = wrong_part(module, arrays, is_right)
    where = f"in {path} ({kind}) the" if path else "the"
    rules = "each custom rule is right by itself" if custom else "there is no custom rule"
    return Cause(
        "missing-path",
        None,
        f"{rules}, and {where} gradient of {', '.join(wrong[:4])} is wrong: look there for "
        ".detach(), .data, .item(), torch.no_grad or a tensor that is made anew",
    )


def _inputs(module: Any, arrays: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The names that are passed by position, in order, and those that are passed by keyword."""
    label = type(module).__name__
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return list(arrays), []
    own = [
        p.name
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    unknown = [n for n in arrays if n not in signature.parameters]
    if not unknown:
        return [], list(arrays)
    if len(arrays) == 1 or len(unknown) == len(arrays):  # x= for forward(input)
        by_position, by_name = list(arrays), []
    else:
        by_position, by_name = [], list(arrays)
    try:
        signature.bind(*by_position, **dict.fromkeys(by_name))
    except TypeError as error:
        raise ValueError(
            f"{label}.forward takes ({', '.join(own)}), got {', '.join(arrays) or 'nothing'}: "
            f"{error}; pass check(module, {', '.join(f'{n}={n}' for n in own)})"
        ) from error
    return by_position, by_name


def module_problem(module: Any, arrays: dict[str, Any], wrt: Any = None) -> Problem:
    """The module as a function of its inputs and its parameters, in NumPy."""
    import torch
    from torch.func import functional_call

    label = type(module).__name__
    by_position, _ = _inputs(module, arrays)
    own_dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
    as_tensors = {n: _tensor_of(a, own_dtype) for n, a in arrays.items()}
    flat, nest = pytrees.flatten(as_tensors)
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    taken = {n: f"{label}.{n}" if n in flat else n for n in parameters}
    every = {**flat, **{taken[n]: p for n, p in parameters.items()}}
    device = devices.common_device({**every, **dict(module.named_buffers())}, label)
    groups = _groups(parameters, GROUPS - sum(pytrees.is_float_leaf(v) for v in flat.values()))
    plain = {n: devices.to_numpy(a) for n, a in flat.items()}
    for name, members in groups.items():
        joined = [devices.to_numpy(parameters[m]) for m in members]
        whole = joined[0] if len(members) == 1 else np.concatenate([a.ravel() for a in joined])
        plain[taken.get(name, name)] = whole
    is_tensor = {n: devices.is_tensor(a) for n, a in flat.items()}
    leaves: tuple[str, ...] = ()

    def call(arguments: dict[str, Any]) -> tuple:
        tensors: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for name, value in arguments.items():
            if name in flat and not is_tensor[name]:
                tensors[name] = value
                continue
            if name not in flat:  # parameters of a module are contiguous
                value = np.ascontiguousarray(value).reshape(np.shape(value))
            tensors[name] = devices.to_tensor(value, device).requires_grad_(name in leaves)
        wide = next((t.dtype for n, t in tensors.items() if n in leaves), None)
        for name, members in groups.items():
            whole, start = tensors[taken.get(name, name)], 0
            for member in members:
                shape = parameters[member].shape
                size = shape.numel()
                part = whole if len(members) == 1 else whole[start : start + size].reshape(shape)
                own[member] = part
                start += size
        for name, buffer in module.named_buffers():
            floating = buffer.is_floating_point() and wide is not None and not wide.is_complex
            own[name] = buffer.to(wide).clone() if floating else buffer.clone()
        for name, p in module.named_parameters():
            if name not in own:
                own[name] = p.detach().to(wide) if p.is_floating_point() else p
        nested = nest({n: tensors[n] for n in flat})
        given = tuple(nested.pop(n) for n in by_position)
        with _default_dtype(wide):
            y = functional_call(module, own, given, nested)
        outputs = [o for _, o in pytrees.leaves(y) if devices.is_tensor(o) and o.requires_grad]
        devices.refuse_other(outputs, device, label)
        devices.write_back({n: t for n, t in tensors.items() if n in flat}, arguments)
        if not outputs:
            raise CallError(f"{label}: no output has a grad_fn: it was detached, or is no tensor")

        def backward(dy: Any) -> dict[str, Any]:
            parts = dy if isinstance(dy, tuple) else (dy,)
            used = [(o, d) for o, d in zip(outputs, parts, strict=True) if d is not None]
            names = [n for n in leaves if tensors[n].requires_grad]
            grads = torch.autograd.grad(
                [o for o, _ in used],
                [tensors[n] for n in names],
                [devices.to_tensor(d, device) for _, d in used],
                retain_graph=True,
                allow_unused=True,
            )
            # a parameter that is not used has the gradient 0
            return {
                n: np.zeros(arguments[n].shape, arguments[n].dtype)
                if g is None
                else devices.to_numpy(g)
                for n, g in zip(names, grads, strict=True)
            }

        backward.outputs = outputs  # type: ignore[attr-defined]
        ys = tuple(devices.to_numpy(o) for o in outputs)
        return ys[0] if len(ys) == 1 else ys, backward, dict

    problem = make_problem(
        label,
        call,
        plain,
        None,
        (),
        wrt,
        passes_none=True,
        parameters=frozenset(n for n in plain if n not in flat),
    )
    leaves = problem.leaves
    return problem


def _tensor_of(value: Any, dtype: Any) -> Any:
    """A NumPy array as a tensor, floats in the dtype of the parameters."""
    if not isinstance(value, np.ndarray):
        return value
    tensor = devices.to_tensor(value)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _groups(parameters: dict[str, Any], most: int) -> dict[str, list[str]]:
    """Parameters by leaf: each its own, or those of one part together where they are many."""
    if len(parameters) <= most:
        return {n: [n] for n in parameters}
    depth = max(n.count(".") for n in parameters)
    for length in range(depth, 0, -1):
        found: dict[str, list[str]] = {}
        for name in parameters:
            found.setdefault(".".join(name.split(".")[:length]), []).append(name)
        if len(found) <= most:
            break
    else:
        found = {"parameters": list(parameters)}
    return {
        n if len(members) == 1 else f"{n} ({len(members)} parameters)": members
        for n, members in found.items()
    }


@contextlib.contextmanager
def _default_dtype(dtype: Any) -> Iterator[None]:
    """New tensors of the module in the dtype that it is run in."""
    import torch

    before = torch.get_default_dtype()
    if dtype in (torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
