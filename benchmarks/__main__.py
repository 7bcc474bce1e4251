"""Run the benchmarks: ``python -m benchmarks [NAME ...]``. Each also runs alone, as ``python -m
benchmarks.NAME``.
"""

import importlib
import sys

ORDER = ["chapter_run", "against_torch", "networks", "sweeps", "gradcheckers"]  # quick ones first

names, sys.argv[1:] = sys.argv[1:] or ORDER, []  # a benchmark that reads options finds none
for name in names:
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"\n## {module.__doc__.splitlines()[0]}\n", flush=True)
    module.main()
