import numpy as np


def relu(x):
    """Return max(x, 0), element by element."""
    y = np.maximum(x, 0)

    def backward(dy):
        dx = dy * (x > 0)
        return {"x": dx}

    return y, backward
