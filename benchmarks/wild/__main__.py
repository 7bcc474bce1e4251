"""Every checker on every pair: caught on the buggy version, false alarm on the fixed one, named.

    python -m benchmarks.wild [--part open|held] [--only NAME] [--columns NAME ...] [--json]

Prints a Markdown table of kinds x checkers: caught / pairs that the checker can take; for this
project's checker also how many it named; then the false alarms. `--only` lists single pairs.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.wild.checkers import checkers, names_of, passes
from benchmarks.wild.pairs import KINDS, Pair, every_pair, held

OWN = "autocnn"


def measure(pair: Pair, columns: Iterable[str]) -> dict:
    """{column: {"caught", "alarm", "seconds"}, ...} of one pair; None for what it cannot take."""
    every, found = checkers(), {}
    for column in columns:
        start = time.perf_counter()
        buggy = passes(every[column], pair, pair.buggy)
        fixed = passes(every[column], pair, pair.fixed)
        seconds = time.perf_counter() - start
        cannot = buggy is None or fixed is None
        found[column] = None if cannot else dict(caught=not buggy, alarm=not fixed, seconds=seconds)
    if found.get(OWN):
        try:
            said = sorted(names_of(pair.call(pair.buggy)))
        except Exception:  # it was no report, so it names nothing
            said = []
        found[OWN] |= {"said": said, "named": bool(set(said) & set(pair.codes))}
    return found


def table(results: dict[str, dict], pairs: dict[str, Pair], columns: list[str]) -> str:
    """Rows: the kinds, all of them, false alarms, what cannot be taken."""
    lines = [
        "| | pairs | " + " | ".join(columns) + " | named |",
        "|---" * (len(columns) + 3) + "|",
    ]

    def row(title: str, names: list[str]) -> str:
        cells = []
        for column in columns:
            taken = [results[n][column] for n in names if results[n][column]]
            cells.append(f"{sum(t['caught'] for t in taken)} / {len(taken)}" if taken else "")
        own = [results[n].get(OWN) for n in names if results[n].get(OWN)]
        named = f"{sum(o['named'] for o in own)} / {len(own)}" if own else ""
        return f"| {title} | {len(names)} | " + " | ".join(cells) + f" | {named} |"

    for kind in KINDS:
        names = [n for n in results if pairs[n].kind == kind]
        if names:
            lines.append(row(kind, names))
    everything = list(results)
    lines.append(row("all", everything))
    for title, part in (("· open", False), ("· held back", True)):
        names = [n for n in everything if held(n) == part]
        if names:
            lines.append(row(title, names))
    alarms = []
    for column in columns:
        taken = [results[n][column] for n in everything if results[n][column]]
        alarms.append(f"{sum(t['alarm'] for t in taken)} / {len(taken)}" if taken else "")
    lines.append(f"| false alarms | {len(everything)} | " + " | ".join(alarms) + " | |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("all", "open", "held"), default="all")
    parser.add_argument("--only", default="", help="pairs whose name contains this, one by one")
    parser.add_argument("--columns", nargs="+", choices=list(checkers()), default=list(checkers()))
    parser.add_argument("--json", action="store_true", help="results of single pairs as JSON")
    args = parser.parse_args(argv)
    pairs = {
        n: p
        for n, p in every_pair().items()
        if args.only in n and (args.part == "all" or held(n) == (args.part == "held"))
    }
    results = {n: measure(p, args.columns) for n, p in pairs.items()}
    if args.json:
        facts = {n: {"kind": p.kind, "link": p.link, "held": held(n)} for n, p in pairs.items()}
        print(json.dumps({n: facts[n] | results[n] for n in pairs}, indent=2))
        return
    for name in pairs if args.only else ():
        print(f"{name}  ({pairs[name].kind}; {pairs[name].link})")
        for column, found in results[name].items():
            print(f"    {column:22s} {_in_words(found)}")
        if OWN in args.columns:
            print("    " + str(pairs[name].call(pairs[name].buggy)).replace("\n", "\n    "))
    print(table(results, pairs, args.columns))
    for name, found in results.items():
        own = found.get(OWN)
        if own and (not own["caught"] or not own["named"] or own["alarm"]):
            words = [w for w in ("caught", "named", "alarm") if own[w]]
            said = ", ".join(own["said"]) or "nothing"
            print(f"\n{name}: {', '.join(words) or 'missed'}; said {said}", end="")
    print()


def _in_words(found: dict | None) -> str:
    if found is None:
        return "cannot take"
    alarm = ", false alarm on the fixed version" if found["alarm"] else ""
    return f"{'caught' if found['caught'] else 'missed'}{alarm} ({found['seconds']:.1f} s)"


if __name__ == "__main__":
    main()
