"""Sweeps: how many trials a second one worker does, and how many one on each core do together.

The goal is 1.8 times one core's throughput on two cores. Beside it stands the share of time in
which a worker had a trial to work on: that is the pool's own doing, whatever else the machine has
to do.
"""

import functools
import os
import time

import reference
from autocnn import models
from autocnn.sweeps import pool
from autocnn.sweeps.trial import run_trial
from autocnn.text import table

TRIALS = 60
FIXED = {"epochs": 80, "batch_size": 18, "rate": 0.12}


def timed(options, work):
    """Do a trial and return when it began and ended, on the clock that all processes share, and
    who did it.
    """
    start = time.monotonic()
    work(options)
    return start, time.monotonic(), os.getpid()


def measure(workers, trials=TRIALS):
    """Return trials a second and the share of time in which the workers were busy, the workers
    being up already.
    """
    work = functools.partial(
        run_trial, build=functools.partial(models.tiny_cnn, nn=reference), data=None, fixed=FIXED
    )
    seeds = [{"filters": 3, "seed": seed} for seed in range(trials)]
    for _ in pool.run_all(
        functools.partial(timed, work=work), seeds[: 2 * workers], workers=workers
    ):
        pass
    start = time.monotonic()
    spans = [
        span
        for _, span in pool.run_all(functools.partial(timed, work=work), seeds, workers=workers)
    ]
    seconds = time.monotonic() - start
    busy = sum(end - begin for begin, end, _ in spans)
    return trials / seconds, busy / seconds / workers


def main():
    """Print the table."""
    rows, one = [], None
    for workers in sorted({1, pool.cores()}):
        rate, busy = measure(workers)
        one = one or rate
        rows.append((workers, f"{rate:.2f}", f"{rate / one:.2f}", f"{100 * busy:.1f}%"))
    print(table(("workers", "trials a second", "times one worker", "busy"), rows))


if __name__ == "__main__":
    main()
