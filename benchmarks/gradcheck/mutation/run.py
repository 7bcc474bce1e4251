"""Plant one-statement mistakes in right layers and see whether the checker finds their lines.

    python -m benchmarks.gradcheck.mutation.run [--half seen|held] [--each 8] [--layer NAME]

A mutant belongs to the test when it runs and changes some gradient. Layers are split in two by a
checksum of their names: rules were written while looking at one half only.
"""

import argparse
import collections
import importlib
import importlib.util
import json
import pathlib
import random
import statistics
import tempfile
import warnings
import zlib
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import adapters
from autocnn.gradcheck.frameworks import framework_problem
from autocnn.gradcheck.source.attach import program_of
from autocnn.gradcheck.source.found import Finding
from autocnn.gradcheck.source.place import find_place
from autocnn.gradcheck.source.program import Program
from benchmarks.gradcheck.mutation.mutator import Mutant, mutants

HERE = pathlib.Path(__file__).parent / "layers"
MODULES = [
    "attention",
    "recurrent",
    "norms",
    "pointwise",
    "spatial",
    "losses",
    "torch_functions",
    "jax_functions",
]
LOOKED_AT = {"causal_attention"}  # the example while the search was first written
BACKWARD = ("backward", "col2im", "softmax_backward", "_activate_backward")


class Case(NamedTuple):
    """One right layer."""

    name: str
    module: str
    kind: str
    functions: tuple
    arrays: dict[str, Any]

    @property
    def seen(self) -> bool:
        """True for the half that was looked at while writing rules."""
        return zlib.crc32(self.name.encode()) % 2 == 0 or self.name in LOOKED_AT


class Outcome(NamedTuple):
    """What the checker said of one mutant."""

    layer: str
    half: str
    kind: str
    line: int
    before: str
    after: str
    caught: bool
    first: bool
    among: bool
    fixed: bool
    alone_wrong: bool
    seconds: float
    said: str


def cases() -> list[Case]:
    """Every layer, in the order of the modules."""
    return [
        Case(name, module, *case)
        for module in MODULES
        for name, case in load(module, HERE / f"{module}.py").CASES.items()
    ]


def load(name: str, path: pathlib.Path) -> Any:
    """A module from a file, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"layers_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(kind: str, functions: tuple, arrays: dict[str, Any]) -> Program:
    """The program of a case."""
    if kind == "object":
        others = dict(arrays)
        problem = adapters.instance(functions[0](), (others.pop("x"),), others)
    elif kind == "vjp":
        problem = adapters.vjp(*functions, tuple(arrays.values()))
    elif kind == "pair":
        problem = adapters.pair(*functions, arrays)
    else:
        problem = framework_problem(functions[0], arrays) or adapters.closure(functions[0], arrays)
    return program_of(problem)


def gradients(made: Program) -> dict[str, np.ndarray]:
    """The gradients at the case's own values for a fixed cotangent."""
    from autocnn.gradcheck.problem import run

    out = run(made.problem, made.problem.values())
    dy = np.random.default_rng(7).standard_normal(out.flat.size)
    return {k: np.asarray(v, dtype=float) for k, v in out.backward(dy).items()}


def changed(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """True where the two sets of gradients differ by more than rounding."""
    if a.keys() != b.keys():
        return True
    return any(
        a[k].shape != b[k].shape
        or not np.allclose(a[k], b[k], rtol=1e-6, atol=1e-9 * (1 + np.max(np.abs(a[k]))))
        for k in a
    )


def names_of(case: Case) -> list[str]:
    """The functions of a case's backward pass."""
    names = list(BACKWARD[1:])
    if case.kind in ("pair", "vjp"):
        names.append(case.functions[1].__name__)
    elif case.kind == "jax":
        names.append(case.functions[0].__name__ + "_bwd")
    else:
        names.append("backward")
    return names


def own_lines(case: Case, text: str) -> tuple[set[int], set[int]]:
    """Lines of the case's own definition, and of helpers that it calls."""
    import ast

    tree = ast.parse(text)
    wanted = {f.__name__ for f in case.functions if hasattr(f, "__name__")}
    if case.kind == "jax":
        wanted.add(case.functions[0].__name__ + "_bwd")
    spans: dict[str, set[int]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            spans[node.name] = set(range(node.lineno, node.end_lineno + 1))
    source = text.splitlines()
    own = set().union(*(spans[n] for n in wanted if n in spans))
    words = "\n".join(source[k - 1] for k in sorted(own))
    helpers = set().union(
        *(
            span
            for n, span in spans.items()
            if n in BACKWARD and f"{n}(" in words and n not in wanted
        ),
        set(),
    )
    return own, helpers


def planted(case: Case, each: int, seed: int) -> list[tuple[Mutant, Any, pathlib.Path]]:
    """Up to `each` mutants of a case that run and change some gradient, drawn at random but evenly
    over the kinds of mistakes."""
    path = HERE / f"{case.module}.py"
    text = path.read_text()
    own, helpers = own_lines(case, text)
    found = [
        m for m in mutants(text, names_of(case)) if min(m.lines) in own or min(m.lines) in helpers
    ]
    rng = random.Random(f"{case.name} {seed}")
    by_kind: dict[str, list[Mutant]] = collections.defaultdict(list)
    for mutant in found:
        by_kind[mutant.kind].append(mutant)
    for group in by_kind.values():
        rng.shuffle(group)
    order = []
    kinds = sorted(by_kind)
    while any(by_kind.values()):
        rng.shuffle(kinds)
        for kind in kinds:
            if by_kind[kind]:
                order.append(by_kind[kind].pop())
    right = gradients(build(case.kind, case.functions, case.arrays))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mutants"))
    chosen = []
    for number, mutant in enumerate(order):
        if len(chosen) == each:
            break
        file = folder / f"{case.name}_{number}.py"
        file.write_text(mutant.text)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                module = load(f"{case.name}_{number}", file)
                kind, functions, _ = module.CASES[case.name]
                made = build(kind, functions, case.arrays)
                wrong = gradients(made)
        except Exception:
            continue
        finite = all(np.all(np.isfinite(g)) for g in wrong.values())
        if finite and changed(right, wrong):
            chosen.append((mutant, made, file))
    return chosen


def judge(case: Case, mutant: Mutant, found: Finding) -> Outcome:
    """Compare what was found with what was planted."""
    place, fix = found.place, found.fix
    suspects = [] if place is None else [place.line, *(s.line for s in place.suspects)]
    first = place is not None and place.line in mutant.lines
    among = bool(set(suspects[:3]) & mutant.lines)
    said = found.note if place is None else f"{place.line}: {place.text}"
    if fix is not None:
        said += f"  ->  {fix.after}"
    if place is not None and place.suspects:
        said += f"  suspects {[s.line for s in place.suspects]}"
    return Outcome(
        case.name, "seen" if case.seen else "held", mutant.kind, min(mutant.lines), mutant.before,
        mutant.after, "agrees with" not in found.note, first, among, fix is not None,
        place is not None and len(suspects) == 1 and not first, found.seconds, said,
    )  # fmt: skip


def table(outcomes: list[Outcome]) -> str:
    """The rates of both halves."""
    rows = ["| layers | mutants | caught | line first | among 3 | verified fix | wrong line alone "
            "| median s | slowest s |", "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for half in ("seen", "held"):
        some = [o for o in outcomes if o.half == half]
        if not some:
            continue
        rates = [
            f"{100 * np.mean([getattr(o, key) for o in some]):.1f} %"
            for key in ("caught", "first", "among", "fixed", "alone_wrong")
        ]
        seconds = [o.seconds for o in some]
        layers = len({o.layer for o in some})
        rows.append(
            f"| {half} ({layers}) | {len(some)} | {' | '.join(rates)} | "
            f"{statistics.median(seconds):.2f} | {max(seconds):.2f} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=("seen", "held", "both"), default="both")
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layer")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--failures", action="store_true")
    options = parser.parse_args()
    outcomes = []
    for case in cases():
        if options.layer and case.name != options.layer:
            continue
        if options.half != "both" and case.seen != (options.half == "seen"):
            continue
        for mutant, made, file in planted(case, options.each, options.seed):
            found = find_place(made)
            outcome = judge(case, mutant, found)
            outcomes.append(outcome)
            if options.failures and not (outcome.first and outcome.fixed and outcome.seconds < 2):
                mark = f"{'first' if outcome.first else 'AMONG' if outcome.among else 'MISSED'}"
                print(
                    f"{mark:6} {case.name} [{mutant.kind}] line {min(mutant.lines)} "
                    f"({outcome.seconds:.2f} s): {mutant.before}  =>  {mutant.after}\n"
                    f"       said {outcome.said}   {file}",
                    flush=True,
                )
    print(table(outcomes))
    if options.json:
        options.json.write_text(json.dumps([o._asdict() for o in outcomes], indent=1))


if __name__ == "__main__":
    main()
