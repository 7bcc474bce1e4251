"""What a check costs: milliseconds for each right layer of the catalogue, and what a check of a
large argument takes.

python -m benchmarks.gradcheck.cost                   # the layers, of this tree
python -m benchmarks.gradcheck.cost --against TREE    # beside those of another checkout
python -m benchmarks.gradcheck.cost --large           # arguments of 25 million entries

Trees take turns, each time in a process of its own with one BLAS thread. The figures are processor
time, the median over the turns of each process's median; libraries are imported before.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["main"]

ENTRIES = 25_000_000


def layers() -> dict:
    """The right layers: name -> (function, arrays)."""
    from tests.bugs.other_twins import OTHER_TWINS
    from tests.bugs.twins import TWINS

    return {t.name: (t.function, t.arrays(0)) for t in TWINS + OTHER_TWINS}


def measure(repeats: int) -> dict[str, float]:
    """Milliseconds of one check of each layer: the median of `repeats`, after one that is not
    counted."""
    from autocnn import gradcheck

    found = {}
    for name, (f, arrays) in layers().items():
        times = []
        for _ in range(repeats + 1):
            start = time.process_time()
            report = gradcheck.check(f, **arrays)
            times.append(time.process_time() - start)
            if not report.ok:
                raise SystemExit(f"{name} is a right layer and was called wrong:\n{report}")
        found[name] = 1e3 * statistics.median(times[1:])
    return found


def in_tree(tree: Path, *words: str) -> dict:
    """What this script prints when it runs in another checkout."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), *words],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def compare(trees: list[Path], turns: int, repeats: int) -> None:
    """Print one row a layer, and the median and the largest ratio."""
    runs: list[list[dict]] = [[] for _ in trees]
    for _ in range(turns):
        for tree, found in zip(trees, runs, strict=True):
            found.append(in_tree(tree, "--measure", str(repeats)))
    medians = [{n: statistics.median(run[n] for run in found) for n in found[0]} for found in runs]
    names = [n for n in medians[0] if all(n in m for m in medians)]
    for name in names:
        row = [m[name] for m in medians]
        ratio = f"{row[0] / row[1]:8.2f}" if len(row) > 1 else ""
        print(f"{name:<28}" + "".join(f"{ms:9.1f} ms" for ms in row) + ratio)
    totals = [sum(m[n] for n in names) for m in medians]
    print(f"{'all':<28}" + "".join(f"{ms:9.1f} ms" for ms in totals))
    if len(medians) > 1:
        ratios = sorted(medians[0][n] / medians[1][n] for n in names)
        print(
            f"this tree / the other: median {statistics.median(ratios):.2f}, largest "
            f"{ratios[-1]:.2f}, of the totals {totals[0] / totals[1]:.2f}"
        )


def large(name: str) -> dict:
    """Check one function of ENTRIES entries; seconds, and the growth of the process's peak."""
    from autocnn import gradcheck
    from benchmarks.gradcheck import large_functions

    f, small = large_functions.case(name, 300_000)
    gradcheck.check(f, **small)  # imports
    f, arguments = large_functions.case(name, ENTRIES)
    leaf = max(a.nbytes for a in arguments.values())
    before, start = _peak(), time.perf_counter()
    report = gradcheck.check(f, **arguments)
    seconds = time.perf_counter() - start
    codes = sorted({c.code for c in report.errors})
    return {"seconds": seconds, "grown": (_peak() - before) / leaf, "codes": codes}


def _peak() -> int:
    """The most memory that this process has held, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--large", action="store_true", help="arguments of 25 million entries")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    here = Path(__file__).resolve().parents[2]
    if args.measure:
        print(json.dumps(measure(args.measure)))
    elif args.one:
        print(json.dumps(large(args.one)))
    elif args.large:
        from benchmarks.gradcheck.large_functions import NAMES

        for name in NAMES:
            row = in_tree(here, "--one", name)
            verdict = ", ".join(row["codes"]) or "right"
            print(f"{name:<24}{row['seconds']:7.1f} s {row['grown']:6.2f} x   {verdict}")
    else:
        trees = [here, *([args.against.resolve()] if args.against else [])]
        compare(trees, args.turns, args.repeats)


if __name__ == "__main__":
    main()
