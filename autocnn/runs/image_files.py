"""Image files for a run: read and fit them as the run's own images were made.

x, steps = read_for_run("three.png", config)          # (C, H, W), what was done
"""

import os
from typing import Any

import numpy as np

from autocnn.deprecation import renamed_names
from autocnn.images import Fitted, NoInk, fit, fit_image, read, read_bytes
from autocnn.images.reading import read_with_steps
from autocnn.runs.config import RunConfig

__all__ = ["fit", "framing", "read", "read_bytes", "read_for_run", "read_image"]

__getattr__ = renamed_names(__name__, {"fitted": f"{__name__}.fit"})

# Data sets of bright images on a dark background, and how their images were made: MNIST's digits
# were scaled to fit 20 of 28 pixels and centred by their centre of mass (LeCun et al. 1998);
# Fashion-MNIST's clothing was trimmed and centred (Xiao et al. 2017).
DARK_BACKGROUND = ("patterns", "digits", "mnist", "fashion-mnist")
INK_FRACTION = {"mnist": 20 / 28, "digits": 1.0}
TRIMMED = ("fashion-mnist",)


def framing(config: RunConfig) -> dict[str, Any]:
    """Return the arguments dark_background, ink_fraction and trim of ``fit`` for a run's images."""
    name = config.known_as or config.data
    return {
        "dark_background": name in DARK_BACKGROUND,
        "ink_fraction": INK_FRACTION.get(name),
        "trim": name in TRIMMED,
    }


def read_image(path: str | os.PathLike, config: RunConfig, invert: bool | None = None) -> Fitted:
    """Read an image file and ``fit_image`` it to the images that a run was trained on.

    x of what is returned has the shape ``config.shape``, before ``preprocessing.prepare``. invert
    and errors: as for ``fit_image`` and ``read``; they name the file.
    """
    image, steps = read_with_steps(path)
    try:
        fitted = fit_image(image, config.shape, invert, **framing(config))
    except NoInk as error:
        raise NoInk(f"{path}: {error}") from None
    return fitted._replace(steps=(*steps, *fitted.steps))


def read_for_run(
    path: str | os.PathLike, config: RunConfig, invert: bool | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (x, steps) of ``read_image``."""
    return read_image(path, config, invert)[:2]
