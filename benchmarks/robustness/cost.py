"""The cost of sums, generations and reading back: one epoch's saving of a LeNet-5 run, beside the
bare write of the same arrays, and beside the epoch.

    python -m benchmarks.robustness.cost

Both ways of saving take turns; medians of 30. The epoch is 938 of the fastest of 40 steps, so that
on a busy machine the share comes out too large rather than too small.
"""

import pathlib
import statistics
import tempfile
import time

import numpy as np
from safetensors.numpy import save

from autocnn import models, optim, runs
from autocnn.models.interpretations import interpretation
from autocnn.runs import RunConfig, recipes
from autocnn.training import TrainState, step
from autocnn.trees import leaves

CONFIG = RunConfig(
    network="lenet5",
    data="mnist",
    classes=tuple("0123456789"),
    shape=(1, 28, 28),
    recipe=recipes.Recipe(),
    steps_per_epoch=938,
)


def bare(folder, now):
    """Write the arrays twice, as last and best, and the history: all that a run needs."""
    trees = {"p": now.params, "s": now.state, "o": now.opt_state}
    content = save({name: np.asarray(leaf) for name, leaf in leaves(trees)})
    for name in ("last", "best"):
        (folder / name).write_bytes(content)
    (folder / "history").write_text(str(now.history))


def seconds(call):
    """The time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main():
    """Print the medians and the cost of an epoch in percent."""
    model = models.build("lenet5", 10, 1.0, interpretation("fast"))
    _, params, state = model.init((0, 0), (1, 28, 28), "float32")
    optimizer = optim.adam(1e-3)
    generator = np.random.default_rng(0)
    batch = generator.random((64, 1, 28, 28), np.float32), generator.integers(0, 10, 64)
    now = TrainState(params, state, optimizer.init(params), 0, 0.0, {})
    times = []
    for _ in range(45):
        start = time.perf_counter()
        step.step(model, optimizer, now.params, now.state, now.opt_state, batch)
        times.append(time.perf_counter() - start)
    epoch = 938 * min(times[5:])
    history = {n: [0.5] * 15 for n in ("train_loss", "train_acc", "val_loss", "val_acc")}
    now = now._replace(history={"epoch": [*range(15)]} | history)
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root)
        config = runs.with_identity(CONFIG)
        runs.create(folder / "run", config)
        plain, whole = [], []
        for i in range(30):
            plain.append(seconds(lambda: bare(folder, now)))
            later = now._replace(step=938 * (i + 1))

            def save_all(later=later):
                runs.save(folder / "run", later, "last", config)
                runs.save(folder / "run", later, "best", config)

            whole.append(seconds(save_all))
    a, b = statistics.median(plain), statistics.median(whole)
    print(
        f"an epoch of LeNet-5: {epoch:.2f} s; bare writes {a * 1e3:.1f} ms, with sums, syncs and "
        f"generations {b * 1e3:.1f} ms: {100 * (b - a) / epoch:.2f} % of the epoch"
    )


if __name__ == "__main__":
    main()
