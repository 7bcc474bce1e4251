"""TinyCNN's 80 epochs with metrics: the textbook's loops against the reference and autograd."""

import statistics
import time

import numpy as np
from threadpoolctl import threadpool_limits

import autocnn as ac
import reference
from benchmarks.speed import loops

GOALS = {"loops": None, "reference": 0.2, "autograd": 0.45, "fast": None}


def measure(rounds=7):
    """Time all three in turn, ``rounds`` times; check that they do the same. Returns {name:
    seconds}, a list each.
    """
    data = ac.data.patterns()
    model, by_hand = ac.models.tiny_cnn(), ac.models.tiny_cnn(nn=reference)
    _, params, _ = model.init(3, (1, 8, 8))
    runs = {
        "loops": lambda: np.array(loops.train(params, data))[:, 0],
        "reference": lambda: ac.train(params, data, model=by_hand).history["train_loss"],
        "autograd": lambda: ac.train(params, data, model=model).history["train_loss"],
        "fast": lambda: ac.train(params, data).history["train_loss"],
    }
    seconds = {name: [] for name in runs}
    for _ in range(rounds):
        losses = {}
        for name, run in runs.items():
            start = time.perf_counter()
            with threadpool_limits(
                1, user_api="blas"
            ):  # as ``train`` does for networks of this size
                losses[name] = run()
            seconds[name].append(time.perf_counter() - start)
        for name in runs:
            np.testing.assert_allclose(losses[name], losses["loops"], rtol=1e-9)
    return seconds


def main():
    """Print medians and the ratio to the loops, each round's ratio taken within that round."""
    seconds = measure()
    print(
        "| TinyCNN, 80 epochs with metrics "
        "| median s | ratio to the loops | lowest - highest | goal |"
    )
    print("|---|---|---|---|---|")
    for name, times in seconds.items():
        ratios = [t / base for t, base in zip(times, seconds["loops"], strict=True)]
        goal = f"{GOALS[name]:.2f}" if GOALS[name] else ""
        spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
        print(
            f"| {name} | {statistics.median(times):.3f} | {statistics.median(ratios):.2f} "
            f"| {spread} | {goal} |"
        )


if __name__ == "__main__":
    main()
