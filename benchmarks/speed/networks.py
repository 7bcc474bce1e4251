"""Time and peak memory of the networks of section 25.6 at full size, in float32.

``python -m benchmarks.speed.networks [WORD ...]``; words select rows, as in
``resnet50 gradient 8``.
Each measurement is a process of its own: build the network, draw its weights, then one forward
pass (evaluation) or one gradient of the loss (training, dropout on). Memory is the process's peak
resident set, weights and interpreter included. Time is the faster of two calls, without the
initialisation. The logits of the first image must be the same in every interpretation.
"""

import argparse
import importlib
import importlib.util
import json
import resource
import subprocess
import sys
import time
from typing import NamedTuple

__all__ = ["Row", "main", "measure"]

NETWORKS = {
    "lenet5": ("lenet5", {}, (1, 28, 28)),
    "lenet5_1998": ("lenet5", dict(original=True), (1, 32, 32)),
    "alexnet": ("alexnet", {}, (3, 227, 227)),
    "alexnet_2014": ("alexnet", dict(towers=1), (3, 224, 224)),
    "vgg16": ("vgg16", {}, (3, 224, 224)),
    "resnet50": ("resnet50", {}, (3, 224, 224)),
}
PATHS = {"autograd": "autocnn.layers", "reference": "reference", "fast": "autocnn.fast"}
# The most memory that a process may need, in GB, where a limit is set.
LIMITS = {
    ("vgg16", "autograd", "forward", 1): 1.5,
    ("vgg16", "reference", "forward", 1): 12.0,
    ("resnet50", "autograd", "gradient", 8): 4.0,
    ("resnet50", "reference", "gradient", 8): 12.0,
}
COLUMNS = "network       path       call      batch   seconds  images/s  peak GB  limit  logits"


class Row(NamedTuple):
    """One measurement: seconds for one call, the process's peak memory, and the first image's
    logits (forward only).
    """

    network: str
    path: str
    call: str
    batch: int
    seconds: float
    peak_gb: float
    logits: list[float]


def selected(words):
    """List the (network, path, call, batch) that contain all ``words``, for the vocabularies
    that are installed.
    """
    paths = [path for path, module in PATHS.items() if importlib.util.find_spec(module)]
    tasks = [
        (n, p, c, b)
        for n in NETWORKS
        for c in ("forward", "gradient")
        for b in (1, 8)
        for p in paths
    ]
    return [task for task in tasks if all(word in map(str, task) for word in words)]


def measure(*task):
    """Run one measurement, (network, path, call, batch), in a process of its own. Returns a
    ``Row``.
    """
    command = [sys.executable, "-m", "benchmarks.speed.networks", "--task", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{task} failed:\n{done.stderr}")
    return Row(*task, *json.loads(done.stdout))


def run(network, path, call, batch):
    """Do the work of one measurement in this process. Returns (seconds, peak GB, logits of the
    first image).
    """
    import numpy as np

    from autocnn import models

    builder, options, shape = NETWORKS[network]
    model = getattr(models, builder)(nn=importlib.import_module(PATHS[path]), **options)
    out, params, state = model.init(0, shape, "float32")
    generator = np.random.default_rng(1)
    x = generator.standard_normal((batch, *shape), dtype=np.float32)
    labels = generator.integers(0, out[0], batch)
    times, logits = [], []
    for _ in range(2):
        start = time.perf_counter()
        if call == "forward":
            logits = model.apply(params, state, x)[0][0].tolist()
        else:
            model.loss_and_grad(params, state, (x, labels), key=0)
        times.append(time.perf_counter() - start)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, logits


def difference(logits, expected):
    """The largest difference, relative to the largest logit."""
    return max(abs(a - b) for a, b in zip(logits, expected, strict=True)) / max(map(abs, expected))


def main(arguments=()):
    """Print the table row by row. Returns 1 when a limit was broken or logits differ by more
    than 1e-4, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.networks", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "words", nargs="*", help="measure only the rows with these words, such as: vgg16 forward 1"
    )
    parser.add_argument(
        "--json", action="store_true", help="print rows as JSON lines, without the logits"
    )
    parser.add_argument("--task", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.task:
        print(json.dumps(run(*json.loads(given.task))))
        return 0
    bad, first = 0, {}
    if not given.json:
        print(COLUMNS)
    for row in (measure(*task) for task in selected(given.words)):
        limit = LIMITS.get(row[:4])
        expected = first.setdefault(row.network, row.logits) if row.logits else []
        apart = difference(row.logits, expected) if row.logits else 0.0
        bad += (limit is not None and row.peak_gb > limit) + (apart > 1e-4)
        if given.json:
            print(
                json.dumps(
                    {**row._asdict(), "logits": None, "limit_gb": limit, "logits_differ": apart}
                ),
                flush=True,
            )
            continue
        told = f"{limit:6.1f}" if limit else " " * 6
        told += (
            "  OVER"
            if limit and row.peak_gb > limit
            else f"  differ by {apart:.0e}"
            if apart
            else ""
        )
        print(
            f"{row.network:13} {row.path:10} {row.call:9} {row.batch:5} {row.seconds:9.3f} "
            f"{row.batch / row.seconds:9.2f} {row.peak_gb:8.2f} {told}",
            flush=True,
        )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
