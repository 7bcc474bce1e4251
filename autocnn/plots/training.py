"""Figures of a training run: its curves, its confusion matrix, and its worst mistakes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autocnn.plots.style import COLOURS, GREY, IMAGE, figure, image_axes, label, styled

__all__ = ["confusion", "counts", "curves", "mistakes"]


@styled
def curves(history: Mapping[str, Sequence[float]]) -> Any:
    """Draw loss and accuracy by epoch, for training and validation, from the history of a ``Run``.

    Of a run without validation images, training only. Returns a Matplotlib figure.
    """
    fig = figure(9, 3.6)
    for axes, what, title in zip(
        fig.subplots(1, 2), ("loss", "acc"), ("Loss", "Accuracy"), strict=True
    ):
        train, val = history[f"train_{what}"], history.get(f"val_{what}", [])
        axes.plot(
            history["epoch"], train, color=COLOURS[1], linestyle=(0, (4, 1.5)), label="training"
        )
        if val:
            axes.plot(history["epoch"], val, color=COLOURS[0], label="validation")
        last = [*train, *val][-1]
        axes.set(
            xlabel="epoch",
            title=f"{title}: {last:.2%}" if what == "acc" else f"{title}: {last:.4f}",
        )
        # The values before training are far off: they would compress the rest.
        trained = [*train[1:], *val[1:]] or [*train, *val]
        low, high = min(trained), max(trained)
        margin = 0.06 * (high - low) + 1e-3
        axes.set_ylim(low - margin, high + margin)
        axes.legend()
    return fig


def counts(labels: Any, predicted: Any, classes: int) -> np.ndarray:
    """Return the confusion matrix, ints (classes, classes): rows are labels, columns predictions.

    labels and predicted are (N,) ints in [0, classes).
    """
    cells = np.asarray(labels) * classes + np.asarray(predicted)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


@styled
def confusion(matrix: np.ndarray, classes: Sequence[Any]) -> Any:
    """Draw a confusion matrix (K, K) from ``counts`` with the names of the K classes.

    Rows are the true classes, columns the predicted ones; the colour is the fraction of the row.
    Returns a Matplotlib figure.
    """
    n = len(classes)
    names = [label(name) for name in classes]
    room = 0.12 * max(0, *(len(name) - 16 for name in names))
    fig = figure(0.55 * n + 2.4 + room, 0.5 * n + 1.8 + room)
    axes = fig.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The diagonal is left out: the scale ends at the most frequent confusion.
    wrong = share[~np.eye(n, dtype=bool)]
    top = max(float(wrong.max(initial=0)), 0.01)
    axes.imshow(
        np.where(np.eye(n, dtype=bool), np.nan, share), cmap="Blues", vmin=0, vmax=1.25 * top
    )
    for i, j in np.ndindex(n, n):
        if i == j or matrix[i, j]:
            colour = "white" if i != j and share[i, j] > 0.7 * top else "black" if i != j else GREY
            axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), names)
    axes.grid(False)
    right, total = int(np.trace(matrix)), int(matrix.sum())
    axes.set(xlabel="answer", ylabel="true class", title=f"{total - right:,} mistakes of {total:,}")
    return fig


@styled
def mistakes(
    x: np.ndarray,
    labels: Any,
    probs: np.ndarray,
    classes: Sequence[Any],
    rows: int = 3,
    columns: int = 8,
) -> Any:
    """Show misclassified images, those whose true class has the smallest probability first.

    x: images (N, C, H, W). labels: (N,) ints. probs: (N, K). classes: the names of the K classes.
    Shows at most rows * columns images, each with the predicted and the true class. Returns a
    Matplotlib figure.
    """
    labels = np.asarray(labels)
    wrong = np.flatnonzero(probs.argmax(axis=1) != labels)
    worst = wrong[np.argsort(probs[wrong, labels[wrong]], kind="stable")][: rows * columns]
    rows = max(1, -(-len(worst) // columns))
    fig = figure(1.25 * columns, 1.75 * rows + 0.5)
    fig.suptitle(
        f"The worst of {len(wrong):,} mistakes: the answer, and what it is"
        if len(wrong)
        else "No mistakes"
    )
    grid = fig.subplots(rows, columns, squeeze=False).ravel()
    for axes, i in zip(grid, worst, strict=False):
        image = x[i, 0] if x.shape[1] == 1 else np.clip(x[i].transpose(1, 2, 0), 0, 1)
        image_axes(axes).imshow(image, cmap=IMAGE)
        answer = int(probs[i].argmax())
        true = label(classes[labels[i]])
        title = f"{label(classes[answer])} ({probs[i, answer]:.0%})\nis {true}"
        axes.set_title(title, fontsize=8, loc="center", weight="normal")
    for axes in grid[len(worst) :]:
        axes.set_axis_off()
    return fig
