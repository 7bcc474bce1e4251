"""What several test modules share: the interpretations, a case with numbers to run it on, two trees
compared, the chapter's networks, and Python and the command line in a process of their own.
"""

import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np

import autocnn as ac
import reference
from autocnn.trees import leaves, tree_map
from tests.cases import Case

__all__ = [
    "CLASSES",
    "INTERPRETATIONS",
    "ROOT",
    "SEEDS",
    "assert_close",
    "chapter_start",
    "python",
    "rank_networks",
    "rank_start",
    "run_vjp",
    "same_bits",
    "setup_case",
]

ROOT = pathlib.Path(__file__).parents[1]
INTERPRETATIONS = {"autograd": ac.layers, "reference": reference, "fast": ac.fast}

# The chapter's two data sets, and the seeds of its networks: (initial weights, order of images).
CLASSES = {
    "3class": ("vertical", "horizontal", "diagonal"),
    "4class": ("vertical", "horizontal", "diagonal", "dot"),
}
SEEDS = {"tiny_cnn": (3, 11), "tiny_mlp": (5, 13)}


def setup_case(case: Case, nn: Any, inputs: str = "normal", dtype: str = "float64", n: int = 3):
    """Build the case's layer. Returns (layer, params, state, x, dy), all random, biases too.

    x is (n, *case.shape) and dy, a cotangent, has the shape of the output. ``inputs="ties"`` draws
    x and the parameters from -1, 0 and 1: equal maxima in most windows, many zeros at ReLU's kink.
    """
    layer = case.build(nn)
    out, params, state = layer.init((5, 1), case.shape, dtype)
    generator = np.random.default_rng(len(case.name))
    params = tree_map(lambda p: (p + 0.1 * generator.normal(size=p.shape)).astype(dtype), params)
    x = generator.normal(size=(n, *case.shape))
    if inputs == "ties":
        x = np.round(x).clip(-1, 1)
        params = tree_map(lambda p: np.round(p).clip(-1, 1).astype(dtype), params)
    return layer, params, state, x.astype(dtype), generator.normal(size=(n, *out)).astype(dtype)


def run_vjp(layer: Any, params: Any, state: Any, x: Any, dy: Any, train: bool) -> dict[str, Any]:
    """Run a layer forward and backward. Returns {"y", "state", "dx", "dparams"}."""
    y, state, backward = layer.vjp(params, state, x, train=train, key=9)
    dx, dparams = backward(dy)
    return {"y": y, "state": state, "dx": dx, "dparams": dparams}


def assert_close(a: Any, b: Any, rtol: float) -> None:
    """Fail unless two trees have the same paths, shapes and dtypes, and each pair of leaves agrees
    to rtol times the largest number of b's.
    """
    a, b = leaves(a), leaves(b)
    assert [path for path, _ in a] == [path for path, _ in b]
    for (path, left), (_, right) in zip(a, b, strict=True):
        assert left.shape == right.shape, path
        assert left.dtype == right.dtype, path
        scale = np.abs(right).max(initial=0) or 1.0
        assert np.abs(left - right).max(initial=0) <= rtol * scale, path


def same_bits(a: Any, b: Any) -> bool:
    """Return whether two trees have the same containers, keys, shapes, dtypes and bits."""
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same_bits(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same_bits, a, b))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def chapter_start(which: str, name: str, nn: Any, **options: Any):
    """Return (data, model, params, state) as the chapter starts the network ``name``: a key of
    SEEDS, on the classes CLASSES[which].
    """
    data = ac.data.patterns(classes=CLASSES[which])
    model = getattr(ac.models, name)(classes=len(data.classes), nn=nn, **options)
    _, params, state = model.init(SEEDS[name][0], (1, 8, 8))
    return data, model, params, state


def rank_networks() -> dict[str, Any]:
    """Return the networks that ranks train together: TinyCNN by autograd, and one with batch norm
    and dropout by hand.
    """
    n = reference
    norm = n.serial(n.conv(2, 3), n.batch_norm(), n.relu(), n.flatten(), n.dropout(0.3), n.dense(3))
    return {"tiny_cnn": ac.models.tiny_cnn(), "norm and dropout": norm}


def rank_start(model: Any):
    """Return (params, state, data) from which every rank starts, in float64."""
    _, params, state = model.init(3, (1, 8, 8))
    return params, state, ac.data.patterns(train_per_class=17, val_per_class=2)


def python(code: str, *arguments: Any, check: bool = False, **env: str | None):
    """Run code in a fresh interpreter at the root of the repository. Returns the finished process.

    ``env`` changes environment variables; None removes one. ``check`` raises on another exit code
    than 0.
    """
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={k: v for k, v in (os.environ | env).items() if v is not None},
        capture_output=True,
        text=True,
        check=check,
        cwd=ROOT,
    )
