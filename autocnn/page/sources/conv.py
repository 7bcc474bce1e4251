import numpy as np


def conv(x, w, b, stride=(1, 1), padding=(0, 0)):
    """Convolve images x (N, C, H, W) with kernels w (F, C, kh, kw) and add a bias b (F,)."""
    (sh, sw), (ph, pw), (kh, kw) = stride, padding, w.shape[2:]
    n, c, height, width = x.shape
    image = np.zeros((n, c, height + 2 * ph, width + 2 * pw), x.dtype)
    image[:, :, ph : ph + height, pw : pw + width] = x
    ho, wo = (image.shape[2] - kh) // sh + 1, (image.shape[3] - kw) // sw + 1
    y = np.zeros((n, len(w), ho, wo), x.dtype)
    for u in range(kh):
        for v in range(kw):
            cells = image[:, :, u : u + (ho - 1) * sh + 1 : sh, v : v + (wo - 1) * sw + 1 : sw]
            y += np.einsum("ncij,fc->nfij", cells, w[:, :, u, v])
    y += b[:, None, None]

    def backward(dy):
        dw, dimage = np.zeros_like(w), np.zeros_like(image)
        for u in range(kh):
            for v in range(kw):
                rows = slice(u, u + (ho - 1) * sh + 1, sh)
                columns = slice(v, v + (wo - 1) * sw + 1, sw)
                dw[:, :, u, v] = np.einsum("nfij,ncij->fc", dy, image[:, :, rows, columns])
                dimage[:, :, rows, columns] += np.einsum("nfij,fc->ncij", dy, w[:, :, u, v])
        db = dy.sum(axis=(0, 2, 3))
        dx = dimage[:, :, ph : ph + height, pw : pw + width]
        return {"x": dx, "w": dw, "b": db}

    return y, backward
