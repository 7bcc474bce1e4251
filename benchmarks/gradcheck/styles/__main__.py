"""The gradient checker on the same six layers in the styles of many people.

    python -m benchmarks.gradcheck.styles [--seed N] [--only STYLE] [--json] [--seen | --held-back]

Each file is written out and imported, and checked by the one call that its style suggests. A call
that raises counts as one that needs glue. `--failures` prints what fell short; `--quick` leaves out
the search for the wrong line.
"""

import argparse
import json
import zlib

from benchmarks.gradcheck.styles.grid import HELD_BACK, STYLES, Case
from benchmarks.gradcheck.styles.score import Outcome, run, table


def _short(o: Outcome) -> str:
    """What fell short in one file, or nothing."""
    where = f"{o.style} / {o.layer} / {o.bug or 'right'}"
    if not o.called:
        return f"GLUE     {where}: {o.text.splitlines()[0][:300]}"
    if not o.bug:
        if not o.ok:
            return f"ALARM    {where}: {o.text[:900]}"
        if o.uncompared:
            return f"{'SILENT  ' if o.silent else 'LISTED  '} {where}: {o.uncompared} not compared"
        return f"WARNED   {where}: {o.warned}" if o.warned else ""
    if o.ok:
        return f"MISSED   {where}"
    if not o.named:
        return f"{'UNNAMED ' if o.code == 'unclassified' else 'MISNAMED'} {where}: {o.code}"
    return ""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="styles whose name contains this")
    parser.add_argument("--seen", action="store_true", help="the styles that are not held back")
    parser.add_argument("--held-back", action="store_true", help="the held-back styles")
    parser.add_argument("--bugs", type=int, default=5, help="so many mistakes of each file")
    parser.add_argument("--layer", default="", help="one layer alone")
    parser.add_argument("--quick", action="store_true", help="without the wrong line")
    parser.add_argument("--each", action="store_true", help="a row for each style")
    parser.add_argument("--failures", action="store_true", help="list what fell short")
    parser.add_argument("--json", action="store_true", help="print every outcome as JSON")
    options = parser.parse_args(argv)
    chosen = [
        s for s in STYLES
        if options.only in s.name
        and not (options.seen and s.name in HELD_BACK)
        and not (options.held_back and s.name not in HELD_BACK)
    ]  # fmt: skip

    def part(case: Case) -> bool:
        if case.bug is None:
            return case.layer.name in (options.layer or case.layer.name)
        cell = zlib.crc32(f"{case.style.name} {case.layer.name}".encode())
        turn = (case.turn + cell) % 5  # another choice of mistakes in each cell
        return turn < options.bugs and case.layer.name in (options.layer or case.layer.name)

    def tell(outcome: Outcome) -> None:
        short = _short(outcome) if options.failures else ""
        if short:
            print(short, flush=True)

    outcomes = run(chosen, options.seed, options.quick, part, tell)
    if options.json:
        print(json.dumps([o._asdict() for o in outcomes], indent=1))
        return
    print(table(outcomes, options.each))


if __name__ == "__main__":
    main()
