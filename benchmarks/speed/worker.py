"""One work by one engine, alone in this process: what ``benchmarks.speed.engines`` starts.

    python -m benchmarks.speed.worker ENGINE FOLDER

Prints lines of JSON: {"results": ...} as soon as the work is done once; then, when it is warm,
{"calls": n}; for each line of input, {"seconds": of one call}, the mean of a turn
of n calls; and {"peak_mb": ...} at the end of input.
"""

import importlib
import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.speed.works import files

ENGINES = {  # name: (module, its variant, packages that it needs)
    "autocnn": ("in_autocnn", "", ()),
    "autocnn, Numba": ("in_autocnn", "numba", ("numba",)),
    "autocnn, NumPy": ("in_autocnn", "numpy", ()),
    "torch": ("in_torch", "", ("torch",)),
    "torch.compile": ("in_torch", "compile", ("torch",)),
    "jax": ("in_jax", "", ("jax",)),
    "onnxruntime": ("in_runtimes", "onnxruntime", ("onnxruntime", "onnx")),
    "OpenVINO": ("in_runtimes", "openvino", ("openvino", "onnx")),
    "autograd": ("in_autocnn", "autograd", ()),
    "reference": ("in_autocnn", "reference", ()),
}
USUAL = [name for name in ENGINES if name not in ("autograd", "reference")]  # these take long
TURN = 0.2  # seconds


def cores():
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def main(engine, folder):
    """Do the work, and tell what the parent asks."""
    answers = os.fdopen(os.dup(1), "w")
    with open(Path(folder) / f"{engine}.txt", "w") as said:  # what a library prints is no answer
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)

    def tell(**answer):
        print(json.dumps(answer), file=answers, flush=True)

    module, variant, _ = ENGINES[engine]
    run = importlib.import_module(f"benchmarks.speed.{module}").make(files(folder), variant)
    tell(results=[np.asarray(a).tolist() for a in run()])
    run()
    seconds = timed(run, 1)
    if "torch" in engine and seconds < TURN:  # one thread may be quicker for small networks
        seconds = _better_threads(run)
    calls = max(1, round(TURN / seconds))
    tell(calls=calls)
    for _ in sys.stdin:
        if seconds < 1:
            run()  # wakes the threads, and fills the cores' caches
        tell(seconds=timed(run, calls))
    tell(peak_mb=_high_water())


def timed(run, calls):
    """Return the mean seconds of some calls."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def _better_threads(run):
    import torch

    times = {}
    for n in {1, cores()}:
        torch.set_num_threads(n)
        run()
        times[n] = min(timed(run, 1) for _ in range(5))
    best = min(times, key=times.get)
    torch.set_num_threads(best)
    return times[best]


def _high_water():
    """The most memory that this process has had, in MB; None where the system does not tell."""
    status = Path("/proc/self/status")
    return (
        int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024 if status.exists() else None
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
