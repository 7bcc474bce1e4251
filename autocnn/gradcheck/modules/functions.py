"""Functions of torch tensors and jax arrays that run through custom rules: the rules are checked
one by one when there is something to find.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.modules.jax_rules import check_jax_rules, record_jax
from autocnn.gradcheck.modules.report import CustomRule, add_rules, network_report
from autocnn.gradcheck.modules.torch_rules import Recorder, check_rules, recording
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.report import Report

__all__ = ["check_function"]


def check_function(
    f: Callable, problem: Problem, seed: int, surrogate: bool, quick: bool, nested: bool
) -> Report:
    """`examine` of the whole function, and of the custom rules inside where the function takes a
    tree (`nested`), or where its gradient is wrong."""
    from autocnn.gradcheck.examine import examine

    def alone(p: Problem) -> Report:
        return examine(p, seed, surrogate, quick)

    looked: list[tuple[list[CustomRule], str]] = [_rules(f, problem, alone)] if nested else []

    def broken() -> bool:
        """Is a custom rule wrong by itself? Then its report names the mistake."""
        if not looked:
            looked.append(_rules(f, problem, alone))
        return any(rule.verdict == "wrong" for rule in looked[0][0])

    report = examine(problem, seed, surrogate, quick, name_causes=lambda: not broken())
    if not report.ok:
        broken()
    rules, unread = looked[0] if looked else ([], "")
    report.notes += [unread] if unread else []
    if not rules:
        return report
    if not report.ok and not broken() and all(rule.verdict == "right" for rule in rules):
        report.notes.append(
            "each custom rule inside is right by itself: look between them, for stop_gradient, "
            "detach or a constant"
        )
    if not nested and not broken():
        return report
    found = network_report(report)
    add_rules(found, rules)
    return found


def _rules(
    f: Any, problem: Problem, alone: Callable[[Problem], Report]
) -> tuple[list[CustomRule], str]:
    """The custom rules inside f with their reports, none where f is a rule itself; and a note on
    what could not be looked into."""
    if isinstance(f, type) or type(f).__name__ in ("custom_vjp", "custom_jvp"):
        return [], ""
    if problem.functions:  # tensors that are differentiated by hand
        return [], ""
    arguments = {**problem.arguments, **problem.values(np.float64)}
    if problem.passes_none:  # torch
        recorder = Recorder()
        with contextlib.suppress(Exception), recording(recorder):
            y, backward, _ = problem.call(arguments)
            recorder.look_at(getattr(backward, "outputs", []))
            backward(tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y))
        return check_rules(recorder, alone), ""
    try:
        walk = record_jax(f, arguments, problem.leaves)
    except Exception as error:  # what make_jaxpr or a primitive refuses
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        return [], f"its jaxpr could not be walked, so no custom rule was looked for: {reason}"
    return check_jax_rules(walk, alone), ""
