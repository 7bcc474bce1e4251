"""Why a network answers as it does: how much each pixel counts for the score of a class.

    found = ac.explain("runs/lenet5-mnist", "three.png", method="grad-cam")
    found.map                                                   # (H, W)
    found.draw().savefig("why.png")

Each method is one pure function of (model, params, state, x, label), on networks of every
interpretation. Scores are logits, as in Simonyan et al. 2014 and Selvaraju et al. 2017.
"""

from autocnn.explanations.explain import METHODS, Explanation, explain
from autocnn.explanations.gradcam import grad_cam, layer_gradient
from autocnn.explanations.gradients import (
    input_x_gradient,
    integrated_gradients,
    saliency,
    smooth_grad,
)
from autocnn.explanations.occlusion import occlusion

__all__ = [
    "METHODS",
    "Explanation",
    "explain",
    "grad_cam",
    "input_x_gradient",
    "integrated_gradients",
    "layer_gradient",
    "occlusion",
    "saliency",
    "smooth_grad",
]
