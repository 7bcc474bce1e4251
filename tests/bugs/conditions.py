"""Where gradient checkers raise false alarms: tiny and huge values, ties, saturation, points
next to a kink.
"""

import numpy as np

CONDITIONS = ("plain", "scale 1e-6", "scale 1e6", "ties", "saturated", "near a kink")


def under(condition, arrays, seed, dtype=np.float64):
    """The float arrays brought into this condition, in this dtype; integer arrays are left as
    they are.
    """
    rng = np.random.default_rng([seed, CONDITIONS.index(condition)])

    def change(a):
        if a.dtype.kind != "f":
            return a
        if condition.startswith("scale"):
            return (a * float(condition.split()[1])).astype(dtype)
        if (
            condition == "saturated"
        ):  # tanh, sigmoid and softmax are flat to the last bit in places, and not in others
            return (a * 15).astype(dtype)
        if condition in (
            "ties",
            "near a kink",
        ):  # small integers: equal maxima, and zeros at a ReLU
            a = rng.integers(-2, 3, a.shape) + (condition == "near a kink") * 1e-12 * a
        return a.astype(dtype)

    return {name: change(a) for name, a in arrays.items()}
