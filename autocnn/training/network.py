"""The network that ``train`` trains where none is named: the one that the parameters came from."""

from typing import Any

import numpy as np

from autocnn import models
from autocnn.trees import leaves
from reference.layer import Layer
from reference.origin import origin_of
from reference.warn import warn

__all__ = ["network_of"]

TINY_CNN = ["0.w", "0.b", "4.w", "4.b"]


def network_of(params: Any) -> Any:
    """Return the network whose parameters these are, in the fast interpretation if it has one.

    A network whose ``init`` drew all leaves is known. Other parameters of TinyCNN's shapes are
    taken for TinyCNN's, with a UserWarning; ValueError for any others.
    """
    from autocnn import fast  # costs a tenth of a second, which only training should pay

    model = origin_of(params)
    if model is not None:
        try:
            return models.rebuild(model, fast) if isinstance(model, Layer) else model
        except ValueError:  # it has layers of one's own
            return model
    shapes = {path: np.shape(leaf) for path, leaf in leaves(params)}
    w, out = shapes.get("0.w", ()), shapes.get("4.w", ())
    if list(shapes) != TINY_CNN or len(w) != 4 or len(out) != 2:
        raise ValueError(
            "nothing says which network these params belong to, and they are not TinyCNN's, whose "
            f"leaves are {', '.join(TINY_CNN)}; these have {_few(shapes)}. Pass the network: "
            "train(params, data, model=...)"
        )
    sizes = dict(classes=out[1], filters=w[0], kernel=w[2:])
    text = ", ".join(f"{name}={value}" for name, value in sizes.items())
    warn(
        "nothing says which network these params belong to (they are a copy or come from a file); "
        f"they have TinyCNN's shapes, so train takes ac.models.tiny_cnn({text}). Pass the network: "
        "train(params, data, model=...)",
    )
    return models.tiny_cnn(**sizes, nn=fast)


def _few(shapes: dict[str, Any]) -> str:
    names = list(shapes)
    return ", ".join(names[:6]) + " ..." * (len(names) > 6) or "none"
