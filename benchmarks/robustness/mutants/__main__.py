"""Break the code on purpose, one line at a time, and see whether a test notices: ``make mutants``.

Each mutant is a small slip of the kind that people make: a sign, a tie rule, a stride, a sync that
is left out. It is made in a copy of the tree, and the tests that should notice run there until the
first one fails. A mutant that survives is a missing test.

A mutant is (file, what stands there once, what is put in its place, the tests that should notice).
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from benchmarks.robustness.mutants import fast, layers, stored

ROOT = pathlib.Path(__file__).parents[3]
MUTANTS = [*layers.MUTANTS, *fast.MUTANTS, *stored.MUTANTS]


def stale(mutants, tree=ROOT):
    """List what keeps mutants from being made: missing files, and texts that do not occur once."""
    faults = []
    for name, old, _, tests in mutants:
        missing = [p for p in (name, *tests.split()) if not (tree / p).exists()]
        faults += [f"{p} does not exist" for p in missing]
        count = 0 if name in missing else (tree / name).read_text().count(old)
        if count != 1 and name not in missing:
            faults.append(f"{name} contains {old!r} {count} times, not once")
    return faults


def survives(mutant, tree):
    """Make the mutant in ``tree``, run its tests, undo it. True when no test failed."""
    name, old, new, tests = mutant
    path = tree / name
    text = path.read_text()
    path.write_text(text.replace(old, new, 1))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests.split()]
    found = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    path.write_text(text)
    return found.returncode == 0


def main():
    """Run every mutant, or those whose file contains an argument; exit code 1 when one survives."""
    chosen = [m for m in MUTANTS if not sys.argv[1:] or any(a in m[0] for a in sys.argv[1:])]
    if faults := stale(chosen):
        raise SystemExit("\n".join([*faults, "bring the list of mutants up to date"]))
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
        )
        left = []
        for mutant in chosen:
            alive = survives(mutant, tree)
            left += [mutant] * alive
            outcome = "SURVIVED" if alive else "noticed "
            print(f"{outcome}  {mutant[0]}: {mutant[1]!r} -> {mutant[2]!r}", flush=True)
    print(f"{len(chosen) - len(left)} of {len(chosen)} mutants noticed")
    return bool(left)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # make says which command was stopped
