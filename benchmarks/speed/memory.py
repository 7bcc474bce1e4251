"""The peak memory of one work in one engine, in a process of its own: ``python -m
benchmarks.speed.memory WORK ENGINE``.
"""

import re
import sys
from pathlib import Path

from benchmarks.speed import engine_chapter
from benchmarks.speed.engine_networks import NETWORKS, batch, build, in_torch
from benchmarks.speed.engines import WORKS, our_engine, torch_engine


def main(work, engine):
    """Do the work twice, in "ours" or "torch", and print the most memory in MB that this process
    has had.
    """
    chapter = engine_chapter.ours if engine == "ours" else engine_chapter.in_torch
    run = _work(engine, *WORKS[work][:4]) if work in WORKS else chapter
    for _ in range(2):
        run()
    print(_high_water())


def _work(engine, network, kind, n, size):
    if engine == "ours":
        model, params, state, shape = build(network, size)
        return our_engine(
            model, params, state, *batch(shape, n, model.init(None, shape)[0][0]), kind
        )
    make, (channels, _, _) = NETWORKS[network]
    model, shape = make(), (channels, size, size)
    (classes,), params, state = model.init(
        None, shape, "float32"
    )  # of no memory: torch's own weights take their place
    return torch_engine(in_torch(model, params, state, shape), *batch(shape, n, classes), kind, 2)


def _high_water():
    """Not by ``getrusage``, which counts what the parent of a process had before it."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise RuntimeError(
            "peak memory is read from /proc/self/status, which this system does not have; "
            "use --no-memory"
        )
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
