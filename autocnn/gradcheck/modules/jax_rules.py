"""The custom_vjp and custom_jvp rules that a jax function runs through, each with what it is fed.

The function's jaxpr is evaluated step by step, into jit, scan, cond, while and remat. A rule inside
anything else (pallas_call, shard_map ...) is counted, and said not to have been looked into.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.jax_functions import jax_problem, x64
from autocnn.gradcheck.modules.report import CustomRule
from autocnn.gradcheck.problem import CallError, Problem

__all__ = ["check_jax_rules", "record_jax"]

MOST = 3  # kinds of call of one rule that are checked
_NESTED = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "run_state")
_CUSTOM = ("custom_vjp_call", "custom_vjp_call_jaxpr", "custom_jvp_call", "custom_jvp_call_jaxpr")


@dataclasses.dataclass
class _Found:
    """One rule: its distinct calls (equation, values, which of them depend on a leaf)."""

    name: str
    where: str
    arguments: list[str]
    count: int = 0
    calls: dict[Any, tuple[Any, list, list[bool]]] = dataclasses.field(default_factory=dict)


class _Walk:
    """Evaluates jaxprs; values go with a flag: does it depend on a differentiated leaf?"""

    def __init__(self) -> None:
        self.rules: dict[str, _Found] = {}
        self.closed: dict[str, str] = {}  # rule -> the primitive that it is hidden in

    def run(self, jaxpr: Any, consts: list, args: list) -> list:
        from jax.extend.core import Literal

        env: dict[Any, tuple[Any, bool]] = {}

        def read(atom: Any) -> tuple[Any, bool]:
            return (atom.val, False) if isinstance(atom, Literal) else env[atom]

        env.update(zip(jaxpr.constvars, [(c, False) for c in consts], strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns:
            out = self.step(eqn, [read(a) for a in eqn.invars])
            env.update(zip(eqn.outvars, out, strict=True))
        return [read(a) for a in jaxpr.outvars]

    def inner(self, jaxpr: Any, args: list) -> list:
        """A jaxpr, closed or open, on arguments."""
        if hasattr(jaxpr, "consts"):
            return self.run(jaxpr.jaxpr, jaxpr.consts, args)
        return self.run(jaxpr, [], args)

    def step(self, eqn: Any, args: list) -> list:
        name, params = eqn.primitive.name, eqn.params
        if name in _CUSTOM:
            self.take(eqn, args)
            return self.inner(_body(params), args)
        if name in _NESTED and "jaxpr" in params:
            return self.inner(params["jaxpr"], args)
        if name == "cond":
            index = int(np.clip(np.asarray(args[0][0]), 0, len(params["branches"]) - 1))
            return self.inner(params["branches"][index], args[1:])
        if name == "while":
            return self.loop(params, args)
        if name == "scan":
            return self.scan(params, args)
        for hidden in _custom_inside(params):
            found = _describe(hidden)
            if found is not None:
                self.closed[found.name] = name
        out = _bind(eqn, [v for v, _ in args])
        active = any(a for _, a in args) and name != "stop_gradient"
        return [(v, active) for v in (out if eqn.primitive.multiple_results else [out])]

    def loop(self, params: dict, args: list) -> list:
        n, m = params["cond_nconsts"], params["body_nconsts"]
        test, body, carry = args[:n], args[n : n + m], args[n + m :]
        while bool(self.inner(params["cond_jaxpr"], test + carry)[0][0]):
            carry = self.inner(params["body_jaxpr"], body + carry)
        return carry

    def scan(self, params: dict, args: list) -> list:
        import jax.numpy as jnp

        n, m = params["num_consts"], params["num_carry"]
        consts, carry, xs = args[:n], args[n : n + m], args[n + m :]
        steps = list(range(params["length"]))
        rows: dict[int, list] = {}
        for i in reversed(steps) if params["reverse"] else steps:
            out = self.inner(params["jaxpr"], consts + carry + [(x[i], a) for x, a in xs])
            carry, rows[i] = out[:m], out[m:]
        columns = zip(*(rows[i] for i in steps), strict=True)
        return carry + [(jnp.stack([v for v, _ in c]), any(a for _, a in c)) for c in columns]

    def take(self, eqn: Any, args: list) -> None:
        found = _describe(eqn)
        if found is None:
            return
        found = self.rules.setdefault(f"{found.name} {found.where}", found)
        found.count += 1
        active = [a and "float" in str(v.dtype) for v, a in args]
        key = tuple((np.shape(v), str(v.dtype), a) for (v, _), a in zip(args, active, strict=True))
        if key not in found.calls and len(found.calls) < MOST and any(active):
            found.calls[key] = (eqn, [v for v, _ in args], active)


def _bind(eqn: Any, values: list) -> Any:
    """One equation on values."""
    bound = eqn.primitive.get_bind_params(eqn.params)
    subfuns, params = bound if isinstance(bound, tuple) else ((), bound)
    return eqn.primitive.bind(*subfuns, *values, **params)


def _body(params: dict) -> Any:
    return params["call_jaxpr"] if "call_jaxpr" in params else params["fun_jaxpr"]


def _custom_inside(params: dict) -> list[Any]:
    """The equations of custom rules in what an equation holds, at any depth."""
    found = []
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else [value]:
            jaxpr = getattr(item, "jaxpr", item)
            for eqn in getattr(jaxpr, "eqns", ()):
                found += [eqn] if eqn.primitive.name in _CUSTOM else _custom_inside(eqn.params)
    return found


def _describe(eqn: Any) -> _Found | None:
    """The rule of an equation, None for jax's own."""
    body = _body(eqn.params)
    about = getattr(getattr(body, "jaxpr", body), "debug_info", None)
    name, _, source = str(getattr(about, "func_src_info", "") or "rule at ").partition(" at ")
    if "/jax/_src/" in source or "/jax/experimental/" in source:
        return None
    kind = "bwd" if "bwd" in eqn.params else "jvp"
    rule = eqn.params.get("bwd") or eqn.params.get("jvp_jaxpr_fun")
    info = getattr(rule, "debug_info", None)
    called, _, where = str(getattr(info, "func_src_info", "") or "").partition(" at ")
    if "/jax/_src/" in where:  # defjvps and the like
        called, where = "", source
    line = where.rpartition("/")[2]
    names = [n for n in getattr(about, "arg_names", None) or ()]
    forward = getattr(eqn.params.get("fwd_jaxpr_thunk"), "debug_info", None)
    names = names or list(getattr(forward, "arg_names", None) or ())
    own = called if called.isidentifier() and called != "_" else kind
    return _Found(f"{name}.{own}", f"{line}" if line else "", names)


def record_jax(f: Callable, arguments: dict[str, Any], leaves: tuple[str, ...]) -> _Walk:
    """Evaluate f(**arguments) in float64, NumPy floats named in `leaves` differentiated."""
    import jax
    import jax.numpy as jnp

    walk = _Walk()
    with x64(True):
        arrays = {n: jnp.asarray(a) for n, a in arguments.items() if isinstance(a, np.ndarray)}
        fixed = {n: a for n, a in arguments.items() if n not in arrays}
        closed = jax.make_jaxpr(lambda given: f(**{**fixed, **given}))(arrays)
        flat = [(arrays[n], n in leaves) for n in sorted(arrays)]  # jax sorts keys
        walk.run(closed.jaxpr, closed.consts, flat)
    return walk


def check_jax_rules(walk: _Walk, examine: Callable[[Problem], Any]) -> list[CustomRule]:
    """Each recorded rule on what it was fed; `examine(problem)` gives the report."""
    rules = []
    for found in walk.rules.values():
        rule = CustomRule(found.name, found.count, [found.where] if found.where else [])
        for eqn, values, active in found.calls.values():
            try:
                rule.reports.append(examine(_rule_problem(found, eqn, values, active)))
            except (CallError, ValueError, TypeError, NotImplementedError) as error:
                rule.reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not rule.reports and not rule.reason:
            rule.reason = "none of its arguments depends on a differentiated leaf"
        rules.append(rule)
    for name, primitive in walk.closed.items():
        rules.append(CustomRule(name, 1, reason=f"it is inside {primitive}, which is not walked"))
    return rules


def _rule_problem(found: _Found, eqn: Any, values: list, active: list[bool]) -> Problem:
    """One call of a rule as a function of the arguments that are differentiated."""
    count = len(values)
    names = found.arguments if len(found.arguments) == count else []
    names = names if len(set(names)) == count else [f"x{k}" for k in range(count)]
    arrays = {n: v for n, v, a in zip(names, values, active, strict=True) if a}

    def rule(**given: Any) -> Any:
        inputs = [given.get(n, v) for n, v in zip(names, values, strict=True)]
        if [np.shape(a) for a in inputs] != [np.shape(v) for v in values]:
            raise ValueError("a recorded call has the shapes that it was recorded with")
        out = _bind(eqn, inputs)
        return out[0] if len(out) == 1 else tuple(out)

    rule.__name__ = found.name.rpartition(".")[0]
    return jax_problem(rule, arrays, is_recorded=True)
