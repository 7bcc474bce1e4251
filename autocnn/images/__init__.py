"""Image files: read grey or colour images of any size and fit them to a network's input.

image = read("three.png")                            # (H, W) or (H, W, 3), in [0, 1]
x, steps = fit(image, (1, 28, 28), dark_background=True)      # (1, 28, 28), what was done
"""

from autocnn.deprecation import renamed_names
from autocnn.images.fitting import Fitted, fit, fit_image
from autocnn.images.ink import NoInk
from autocnn.images.reading import read, read_bytes

__all__ = ["Fitted", "NoInk", "fit", "fit_image", "read", "read_bytes"]

__getattr__ = renamed_names(__name__, {"fitted": f"{__name__}.fit"})
