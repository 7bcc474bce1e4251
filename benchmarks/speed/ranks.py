"""Data-parallel training: measured steps and Allreduces, and what they foretell for 64 ranks.

A step of p ranks takes the gradient of one rank's share and then an Allreduce of all parameters.
With the ring algorithm (Patarasuk and Yuan 2009, doi:10.1016/j.jpdc.2008.09.002) an Allreduce of m
bytes costs

    2 (p - 1) a + 2 (p - 1) / p  m / B

and with recursive doubling, better for short messages, log2(p) (a + m / B); a is the time to start
a message and B the rate. Both numbers are fitted to Allreduces between two ranks of this machine,
and taken as given for a network of 10 Gbit/s.
"""

import json
import math
import shutil
import subprocess
import sys
import time

import numpy as np

import reference
from autocnn import models
from autocnn.text import table
from autocnn.trees import count

ALLREDUCE = """
import json, time
import numpy as np
from mpi4py import MPI
comm, found = MPI.COMM_WORLD, {}
for n in (1, 1 << 14, 1 << 20, 25_557_032):
    a, b, best = np.ones(n, np.float32), np.empty(n, np.float32), 9e9
    for _ in range(6 if n > 1 << 20 else 200):
        comm.Barrier()
        start = time.perf_counter()
        comm.Allreduce(a, b)
        best = min(best, time.perf_counter() - start)
    found[4 * n] = comm.allreduce(best, MPI.MAX)
if comm.rank == 0:
    print(json.dumps(found))
"""
ETHERNET = (30e-6, 1.25e9)  # seconds to start a message, bytes a second: 10 Gbit/s
RANKS = 64


def step_seconds(model, shape, batch, repeat):
    """The shortest of some training steps in float32, in processor time, so that other work on
    the machine counts less.
    """
    _, params, state = model.init(0, shape, "float32")
    x = np.random.default_rng(0).random((batch, *shape), np.float32)
    best = math.inf
    for _ in range(repeat + 1):  # the first one warms up
        start = time.process_time()
        model.loss_and_grad(params, state, (x, np.zeros(batch, int)))
        best = min(best, time.process_time() - start)
    return best, 4 * count(params)


def allreduces():
    """{bytes: seconds} of an Allreduce between two ranks of this machine."""
    command = [shutil.which("mpiexec"), "-n", "2", sys.executable, "-c", ALLREDUCE]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {int(size): seconds for size, seconds in found.items()}


def allreduce_seconds(size, ranks, start, rate):
    """The better of ring and recursive doubling, by the formulas above."""
    ring = 2 * (ranks - 1) * start + 2 * (ranks - 1) / ranks * size / rate
    return min(ring, math.ceil(math.log2(ranks)) * (start + size / rate))


def main():
    """Print the measured times and the forecast."""
    times = allreduces()
    print(
        table(
            ("bytes", "Allreduce, 2 ranks, ms"),
            [(size, f"{1e3 * t:.3f}") for size, t in times.items()],
        )
    )
    largest = max(times)
    here = (min(times.values()), largest / (times[largest] - min(times.values())))
    lenet, resnet = models.lenet5(nn=reference), models.resnet50(nn=reference)
    rows = []
    for name, model, shape, whole, share, repeat in (
        ("LeNet-5, batch 128 shared", lenet, (1, 28, 28), 128, 2, 20),
        ("LeNet-5, 128 a rank", lenet, (1, 28, 28), 128, 128, 20),
        ("ResNet-50, 8 images of 224 a rank", resnet, (3, 224, 224), 8, 8, 1),
    ):
        alone, size = step_seconds(model, shape, whole, repeat)
        part = alone if share == whole else step_seconds(model, shape, share, repeat)[0]
        for place, (start, rate) in (("this machine's memory", here), ("10 Gbit/s", ETHERNET)):
            wait = allreduce_seconds(size, RANKS, start, rate)
            speedup = alone * (1 if share < whole else RANKS) / (part + wait)
            cells = (
                f"{1e3 * alone:.1f}",
                f"{1e3 * part:.1f}",
                f"{1e3 * wait:.2f}",
                f"{speedup:.1f}",
            )
            rows.append((name, place, *cells))
    heads = (
        "network",
        "messages by",
        "step alone, ms",
        f"step of 1 in {RANKS}, ms",
        "Allreduce, ms",
        "times one rank",
    )
    print("\n" + table(heads, rows, 160))


if __name__ == "__main__":
    main()
