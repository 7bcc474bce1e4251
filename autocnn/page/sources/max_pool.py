import numpy as np


def max_pool(x, size=(2, 2), stride=(2, 2)):
    """Take the maximum of each window of images x (N, C, H, W)."""
    (kh, kw), (sh, sw) = size, stride
    ho, wo = (x.shape[2] - kh) // sh + 1, (x.shape[3] - kw) // sw + 1
    y = np.zeros((*x.shape[:2], ho, wo), x.dtype)
    for i in range(ho):
        for j in range(wo):
            window = x[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
            y[:, :, i, j] = window.max(axis=(2, 3))

    def backward(dy):
        dx = np.zeros_like(x)
        for i in range(ho):
            for j in range(wo):
                rows, columns = slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw)
                cells = x[:, :, rows, columns].reshape(*x.shape[:2], kh * kw)
                first = cells.argmax(axis=2)
                wins = np.arange(kh * kw) == first[:, :, None]
                share = (wins * dy[:, :, i, j, None]).reshape(*x.shape[:2], kh, kw)
                dx[:, :, rows, columns] += share
        return {"x": dx}

    return y, backward
