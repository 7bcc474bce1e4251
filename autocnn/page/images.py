"""The images that a page offers, and image files that a person drops on it."""

from typing import Any

import numpy as np

from autocnn.images import fit, read_bytes
from autocnn.page.model import PageModel, prepared
from autocnn.training import predict

__all__ = ["choices", "read_image"]

OFFERED = 60
MAX_PIXELS = 25_000_000


def choices(shown: PageModel, model: Any, params: Any, state: Any) -> list[dict[str, Any]]:
    """Return validation images with labels and probabilities: of each kind, right, wrong and
    doubtful ones; the whole set where it is small.
    """
    if shown.data is None:
        return []
    x, y = shown.data.x_val, shown.data.y_val
    probs = predict(model, params, state, prepared(shown, x.astype(shown.dtype, copy=False)))
    wrong = probs.argmax(axis=1) != y
    ordered = np.sort(probs, axis=1)
    doubtful = np.argsort(ordered[:, -1] - ordered[:, -2], kind="stable")
    chosen = list(range(len(x)))
    if len(x) > OFFERED + OFFERED // 2:
        third = OFFERED // 3
        picked = [*np.flatnonzero(wrong)[:third], *doubtful[:third], *chosen]
        chosen = sorted(list(dict.fromkeys(map(int, picked)))[:OFFERED])
    return [
        {"pixels": x[i].astype(np.float32), "label": int(y[i]), "probabilities": probs[i]}
        for i in chosen
    ]


def read_image(shown: PageModel, file: bytes, name: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (pixels (C, H, W) in [0, 1], what was done) of an image file's bytes.

    The image is fitted as for ``autocnn predict``. ValueError, of one line, for what is not an
    image, is damaged or is too large.
    """
    label = "".join(c for c in str(name or "the file") if c.isprintable())[:80]
    image = read_bytes(file, label, MAX_PIXELS)
    return fit(image, shown.shape, None, shown.dark, shown.ink, shown.trim)
