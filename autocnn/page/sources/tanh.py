import numpy as np


def tanh(x):
    """Return the hyperbolic tangent, element by element."""
    y = np.tanh(x)

    def backward(dy):
        dx = dy * (1 - y**2)
        return {"x": dx}

    return y, backward
