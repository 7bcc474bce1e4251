"""``explain``: one call for every method, on a run folder, a run or a network."""

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autocnn.explanations import gradients, occlusion
from autocnn.explanations.gradcam import grad_cam, resized
from autocnn.models.interpretations import INTERPRETATIONS, interpretation
from autocnn.ops import softmax
from autocnn.text import did_you_mean
from autocnn.trees import leaves
from autocnn.typing import Array, Tree

__all__ = ["METHODS", "Explanation", "explain"]

METHODS = {
    "saliency": gradients.saliency,
    "input-x-gradient": gradients.input_x_gradient,
    "integrated-gradients": gradients.integrated_gradients,
    "smoothgrad": gradients.smooth_grad,
    "occlusion": occlusion.occlusion,
    "grad-cam": grad_cam,
}


class Explanation(NamedTuple):
    """How much each pixel counts for the score of a class.

    method: its name. map: (H, W), of the size of the image; positive numbers speak for the class.
    attribution: (C, H, W), of which the map is the sum over the channels, or for saliency the
    largest; of grad-cam the map of the layer's size, (h, w). layer: of grad-cam, else None.
    image: (C, H, W) as it enters the network. label, name: the class. probability: of it.
    logit: its score. engine: the interpretation. digits: to which another interpretation agrees,
    None where none was asked.
    """

    method: str
    map: Array
    attribution: Array
    layer: str | None
    image: Array
    label: int
    name: str
    probability: float
    logit: float
    engine: str
    digits: float | None

    def draw(self) -> Any:
        """Draw the image and the map over it; returns a Matplotlib figure."""
        from autocnn.plots.explain import explanation

        return explanation(self)

    def __repr__(self) -> str:
        layer = f" at {self.layer}" if self.layer else ""
        size = "x".join(map(str, self.map.shape))
        return (
            f"Explanation({self.method}{layer} of class {self.name}, probability "
            f"{self.probability:.2%}, map {size})"
        )


def explain(
    source: Any,
    image: Any,
    method: str = "saliency",
    class_: int | str | None = None,
    *,
    params: Tree = None,
    state: Tree = None,
    classes: Sequence[Any] | None = None,
    engine: str | None = None,
    check: bool = False,
    **options: Any,
) -> Explanation:
    """Say how much each pixel of an image counts for the score of a class, its logit.

    source: a run folder; what ``ac.train`` or ``ac.runs.load`` returned; or a network, with its
        trees ``params`` and ``state``.
    image: (C, H, W), (1, C, H, W) or, of one channel, (H, W), as it enters the network; for a run
        folder also an image file, which is read as ``autocnn predict`` reads it.
    method: "saliency", "input-x-gradient", "integrated-gradients", "smoothgrad", "occlusion" or
        "grad-cam"; the functions of ``autocnn.explanations`` give formulas and sources.
    class_: the index or the name of a class. Default: the most probable one.
    classes: names of the classes; those of the run folder, else numbers.
    engine: "fast", "autograd" or "reference", the interpretation that computes. Default: the one
        of the network, fast for a run folder.
    check: compute it in another interpretation too, by autograd or by hand, and report the digits
        to which both agree; None where the network has a layer of your own that only one has.
    options: those of the method: window, stride, baseline; steps; samples, noise, seed; layer.

    A map can look sensible and still say nothing about what the network has learned: compare it
    with the map of the same network with random parameters, which should differ (Adebayo et al.
    2018, Sanity checks for saliency maps).

    Raises ValueError for an unknown method, class, layer or option, and for an image that does not
    fit.
    """
    if method not in METHODS:
        raise ValueError(
            f"there is no method {method!r}; the methods are {', '.join(METHODS)}"
            f"{did_you_mean(method, METHODS)}"
        )
    model, params, state, names, read = _network(source, params, state, classes, engine)
    x = _image(read(image), params)
    state = model.init(None, x.shape)[2] if state is None else state
    logits = np.asarray(model.apply(params, state, x[None])[0][0])
    if logits.ndim != 1:
        raise ValueError(f"explain needs a network of classes; its output is {logits.shape}")
    names = list(range(len(logits))) if names is None else list(names)
    label = int(logits.argmax()) if class_ is None else _label(class_, names)
    found, layer = _attribution(method, model, params, state, x, label, options)
    digits = None
    if check:
        try:
            engine = "autograd" if _engine_of(model) == "reference" else "reference"
            other = _interpreted(model, engine)
        except ValueError:  # a layer of one's own without a backward pass by hand
            other = None
        if other is not None:
            again = _attribution(method, other, params, state, x, label, options)[0]
            digits = _digits(found, again)
    return Explanation(
        method,
        _map(method, found, x.shape[1:]),
        found,
        layer,
        x,
        label,
        str(names[label]),
        float(softmax(logits[None])[0, label]),
        float(logits[label]),
        _engine_of(model),
        digits,
    )


def _attribution(
    method: str, model: Any, params: Tree, state: Tree, x: Array, label: int, options: dict
) -> tuple[Array, str | None]:
    try:
        found = METHODS[method](model, params, state, x, label, **options)  # type: ignore[operator]
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ValueError(f"{method} has no option {str(error).rpartition(' ')[2]}") from error
    return found if isinstance(found, tuple) else (found, None)


def _map(method: str, found: Array, size: tuple[int, ...]) -> Array:
    if method == "grad-cam":
        return resized(found, (size[0], size[1]))
    return found.max(axis=0) if method == "saliency" else found.sum(axis=0)


def _network(source: Any, params: Tree, state: Tree, classes: Any, engine: str | None) -> tuple:
    """Return (model, params, state, names of the classes, function that reads an image)."""
    from autocnn.runs.preprocessing import prepare

    if isinstance(source, str | os.PathLike):
        from autocnn import runs

        source = runs.load(source, nn=interpretation(engine or "fast"))
    if hasattr(source, "train_state") and hasattr(source, "config"):  # of a run folder
        config, model, now = source

        def read(image: Any) -> Any:
            if isinstance(image, str | os.PathLike):
                from autocnn.runs.image_files import read_for_run

                return prepare(read_for_run(image, config, None)[0][None], config.inputs)
            return image

        params, state, names = now.params, now.state, config.classes if classes is None else classes
    else:
        if hasattr(source, "history") and hasattr(source, "model"):  # of ac.train
            model, params, state = source.model, source.params, source.state
        else:
            model = source
        if not callable(getattr(model, "vjp", None)) or params is None:
            raise ValueError(
                "explain takes a run folder, a run, or a network with its trees: "
                "explain(model, image, params=params, state=state)"
            )
        names = classes

        def read(image: Any) -> Any:
            if isinstance(image, str | os.PathLike):
                raise ValueError(
                    "an image file can be read for a run folder, which says how; here pass an "
                    f"array (C, H, W), such as ac.images.read({str(image)!r})"
                )
            return image

    model = model if engine is None else _interpreted(model, engine)
    return model, params, state, names, read


def _interpreted(model: Any, engine: str) -> Any:
    from autocnn.runs.own_network import interpreted

    return interpreted(model, interpretation(engine))


def _engine_of(model: Any) -> str:
    module = type(model).__module__.removesuffix(".layer")
    return next((name for name, home in INTERPRETATIONS.items() if home == module), module)


def _image(image: Any, params: Tree) -> Array:
    """One image (C, H, W) in the parameters' dtype."""
    x = np.asarray(image)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"the image must be numbers; got {x.dtype}")
    x = x[None] if x.ndim == 2 else x[0] if x.ndim == 4 and len(x) == 1 else x
    if x.ndim != 3:
        raise ValueError(f"explain takes one image, (C, H, W); got {np.shape(image)}")
    return x.astype(leaves(params)[0][1].dtype)


def _label(class_: int | str, names: list) -> int:
    if isinstance(class_, int | np.integer) and not isinstance(class_, bool):
        if 0 <= class_ < len(names):
            return int(class_)
    elif str(class_) in (known := [str(name) for name in names]):
        return known.index(str(class_))
    elif str(class_).isdecimal() and int(class_) < len(names):
        return int(class_)
    raise ValueError(
        f"there is no class {class_!r}; the classes are {', '.join(map(str, names[:20]))}"
        f"{', ...' if len(names) > 20 else ''}"
    )


def _digits(a: Array, b: Array) -> float:
    """To how many digits two arrays agree, relative to the largest number; 17 for equal bits."""
    largest = float(np.abs(b).max(initial=0)) or 1.0
    apart = float(np.abs(a - b).max(initial=0)) / largest
    return 17.0 if apart == 0 else min(17.0, -math.log10(apart))
