"""Run benchmarks: ``python -m benchmarks [FOLDER.NAME ...]``, all timings by default.

Each also runs alone, with options of its own: ``python -m benchmarks.FOLDER.NAME --help``.
"""

import importlib
import sys

DEFAULT = [  # quick ones first
    "speed.chapter_run",
    "speed.engines",
    "speed.sweeps",
    "gradcheck.checkers",
]


def main() -> None:
    """Run the benchmarks that the arguments name."""
    # Benchmarks that read options from sys.argv must find none.
    names, sys.argv[1:] = sys.argv[1:] or DEFAULT, []
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n## {module.__doc__.splitlines()[0]}\n", flush=True)
        module.main()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # make says which command was stopped
