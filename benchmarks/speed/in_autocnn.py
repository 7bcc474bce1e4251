"""The works by autocnn."""

import numpy as np

import autocnn as ac
from autocnn import fast
from autocnn.models.interpretations import interpretation
from benchmarks.speed.works import build


def make(found, variant):
    """Return a function that does the work and returns its results.

    variant: "" for what a user gets, "numba" or "numpy" to compute layer by layer with these
    kernels, or another interpretation.
    """
    if variant in ("autograd", "reference"):
        return results(found, interpretation(variant), *found.trees())
    run = results(found, fast, *found.trees(), serving=not variant)
    if not variant:
        return run

    def layer_by_layer():
        with fast.using(variant):
            return run()

    return layer_by_layer


def results(found, nn, params, state, dtype=None, serving=False):
    """Return the function that computes the work through the interpretation ``nn``."""
    work, arrays = found.work, found.arrays()
    model, _ = build(work, nn)
    if work.kind == "run":
        data = ac.data.patterns()

        def run():
            return [ac.train(params, data, model=model).history["train_loss"][-1]]

        return run
    x, labels = arrays["x"].astype(dtype or arrays["x"].dtype), arrays["labels"]
    if work.kind == "forward":
        if serving and hasattr(nn, "predictor"):
            predictor = nn.predictor(model, params, state, copy=False)
            return lambda: [predictor(x)]
        return lambda: [model.apply(params, state, x)[0]]

    def gradient():
        loss, grads, _ = model.loss_and_grad(params, state, (x, labels))
        return [np.float64(loss), grads[0]["w"]]

    return gradient
