"""The correct layers that the planted bugs are twins of: plain NumPy, `f(**arrays) -> (y,
backward)`.
"""

from typing import NamedTuple

import numpy as np

from . import normal

# ---- pieces that the bugs import too
# -------------------------------------------------------------------------------


def pad(x, p):
    """(N, C, H, W) -> (N, C, H + 2p, W + 2p), zeros around."""
    return np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))


def conv_forward(x, w, b, stride=1, padding=0, groups=1):
    """Cross-correlation (N, C, H, W) * (O, C / groups, kh, kw) -> (N, O, Ho, Wo), as a sum over
    kernel offsets.
    """
    xp = pad(x, padding)
    O, Cg, kh, kw = w.shape
    Og = O // groups
    Ho, Wo = (xp.shape[2] - kh) // stride + 1, (xp.shape[3] - kw) // stride + 1
    y = np.zeros((len(x), O, Ho, Wo), np.result_type(x, w, b))
    for g in range(groups):
        for i in range(kh):
            for j in range(kw):
                patch = xp[
                    :,
                    g * Cg : (g + 1) * Cg,
                    i : i + stride * Ho : stride,
                    j : j + stride * Wo : stride,
                ]
                y[:, g * Og : (g + 1) * Og] += np.einsum(
                    "nchw,oc->nohw", patch, w[g * Og : (g + 1) * Og, :, i, j]
                )
    return y + b[:, None, None]


def conv_dw(x, dy, w, stride=1, padding=0, groups=1):
    xp, dw = pad(x, padding), np.zeros_like(w)
    O, Cg, kh, kw = w.shape
    Og, Ho, Wo = O // groups, dy.shape[2], dy.shape[3]
    for g in range(groups):
        for i in range(kh):
            for j in range(kw):
                patch = xp[
                    :,
                    g * Cg : (g + 1) * Cg,
                    i : i + stride * Ho : stride,
                    j : j + stride * Wo : stride,
                ]
                dw[g * Og : (g + 1) * Og, :, i, j] = np.einsum(
                    "nchw,nohw->oc", patch, dy[:, g * Og : (g + 1) * Og]
                )
    return dw


def conv_dx(x, dy, w, stride=1, padding=0, groups=1):
    dxp = pad(np.zeros_like(x), padding)
    O, Cg, kh, kw = w.shape
    Og, Ho, Wo = O // groups, dy.shape[2], dy.shape[3]
    for g in range(groups):
        for i in range(kh):
            for j in range(kw):
                patch = dxp[
                    :,
                    g * Cg : (g + 1) * Cg,
                    i : i + stride * Ho : stride,
                    j : j + stride * Wo : stride,
                ]
                patch += np.einsum(
                    "nohw,oc->nchw", dy[:, g * Og : (g + 1) * Og], w[g * Og : (g + 1) * Og, :, i, j]
                )
    return dxp[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]


def conv_db(dy):
    return dy.sum(axis=(0, 2, 3))


def pool_windows(x, k, s):
    """(N, C, H, W) -> (N, C, Ho, Wo, k * k)."""
    view = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::s, ::s]
    return view.reshape(*view.shape[:4], k * k)


def max_pool_forward(x, k, s):
    """The maxima and which of the k * k entries is the (first) maximum."""
    windows = pool_windows(x, k, s)
    where = windows.argmax(axis=-1)
    return np.take_along_axis(windows, where[..., None], axis=-1)[..., 0], where


def stable_softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(logits, labels):
    """The mean of -log softmax(logits)[label]."""
    z = logits - logits.max(axis=1, keepdims=True)
    return (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]).mean()


def one_hot(labels, K):
    return (labels[:, None] == np.arange(K)).astype(
        np.float32
    )  # so that float32 stays float32; 0 and 1 are exact


def softmax_minus_one_hot(logits, labels):
    """The right gradient of the summed loss."""
    return stable_softmax(logits) - one_hot(labels, logits.shape[1])


def normalise(x, eps=1e-5, axis=0):
    """x_hat and the standard deviation, along one axis or several."""
    centred = x - x.mean(axis=axis, keepdims=True)
    std = np.sqrt((centred * centred).mean(axis=axis, keepdims=True) + eps)
    return centred / std, std


def affine_gradients(x_hat, dy):
    """Those of scale and shift in scale x_hat + shift, summed over the examples."""
    return {"scale": (dy * x_hat).sum(axis=0), "shift": dy.sum(axis=0)}


def stable_sigmoid(x):
    e = np.exp(np.where(x > 0, -x, x))
    return np.where(x > 0, 1 / (1 + e), e / (1 + e))


def dropout_mask(shape, keep):
    return np.random.default_rng(5).random(shape) < keep


def conv1d_forward(x, w):
    T = x.shape[2] - w.shape[2] + 1
    return sum(np.einsum("nct,oc->not", x[:, :, i : i + T], w[:, :, i]) for i in range(w.shape[2]))


def conv1d_dx(x, dy, w):
    dx, T = np.zeros_like(x), dy.shape[2]
    for i in range(w.shape[2]):
        dx[:, :, i : i + T] += np.einsum("not,oc->nct", dy, w[:, :, i])
    return dx


def depthwise(x, w):
    Ho, Wo = x.shape[2] - w.shape[1] + 1, x.shape[3] - w.shape[2] + 1
    offsets = np.ndindex(w.shape[1:])
    return sum(w[:, i, j][:, None, None] * x[:, :, i : i + Ho, j : j + Wo] for i, j in offsets)


def depthwise_dw(x, dy, w):
    Ho, Wo = dy.shape[2:]
    dw = np.zeros_like(w)
    for i, j in np.ndindex(w.shape[1:]):
        dw[:, i, j] = (dy * x[:, :, i : i + Ho, j : j + Wo]).sum(axis=(0, 2, 3))
    return dw


# ---- the twins
# ------------------------------------------------------------------------------------------


def conv(x, w, b):
    def backward(dy):
        return {"x": conv_dx(x, dy, w), "w": conv_dw(x, dy, w), "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


def conv_strided(x, w, b, stride=2, padding=1):
    """On 7 rows with padding 1 the windows of stride 2 do tile; on 6 columns and a kernel of 3
    one column is left.
    """

    def backward(dy):
        dx, dw = conv_dx(x, dy, w, stride, padding), conv_dw(x, dy, w, stride, padding)
        return {"x": dx, "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b, stride, padding), backward


def conv_grouped(x, w, b, groups=2):
    def backward(dy):
        return {
            "x": conv_dx(x, dy, w, groups=groups),
            "w": conv_dw(x, dy, w, groups=groups),
            "b": conv_db(dy),
        }

    return conv_forward(x, w, b, groups=groups), backward


def conv_naive(x, w, b, stride=3):
    """Four loops, as in a homework; two rows and one column remain."""
    (N, _, H, W), (O, _, kh, kw) = x.shape, w.shape
    Ho, Wo = (H - kh) // stride + 1, (W - kw) // stride + 1
    y = np.zeros((N, O, Ho, Wo), x.dtype)
    for n in range(N):
        for o in range(O):
            for i in range(Ho):
                for j in range(Wo):
                    y[n, o, i, j] = np.sum(
                        x[n, :, i * stride : i * stride + kh, j * stride : j * stride + kw] * w[o]
                    )
                    y[n, o, i, j] += b[o]

    def backward(dy):
        dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
        for n in range(N):
            for o in range(O):
                db[o] += dy[n, o].sum()
                for i in range(Ho):
                    for j in range(Wo):
                        rows, cols = (
                            slice(i * stride, i * stride + kh),
                            slice(j * stride, j * stride + kw),
                        )
                        dw[o] += dy[n, o, i, j] * x[n, :, rows, cols]
                        dx[n, :, rows, cols] += dy[n, o, i, j] * w[o]
        return {"x": dx, "w": dw, "b": db}

    return y, backward


def max_pool(x, k=2, s=2):
    y, where = max_pool_forward(x, k, s)

    def backward(dy):
        dx = np.zeros_like(x)
        for (n, c, i, j), m in np.ndenumerate(where):
            dx[n, c, i * s + m // k, j * s + m % k] += dy[n, c, i, j]
        return {"x": dx}

    return y, backward


def max_pool_overlapping(x):
    return max_pool(x, k=3, s=2)


def max_pool_shared(x, k=2):
    """Tied maxima share the gradient equally: another valid subgradient."""
    windows = pool_windows(x, k, k)
    y = windows.max(axis=-1)
    N, C, Ho, Wo = y.shape

    def backward(dy):
        mask = windows == y[..., None]
        shares = (mask / mask.sum(axis=-1, keepdims=True) * dy[..., None]).astype(dy.dtype)
        dx = np.zeros_like(x)
        blocks = shares.reshape(N, C, Ho, Wo, k, k).transpose(0, 1, 2, 4, 3, 5)
        dx[:, :, : Ho * k, : Wo * k] = blocks.reshape(N, C, Ho * k, Wo * k)
        return {"x": dx}

    return y, backward


def avg_pool(x, k=3, s=2):
    y = pool_windows(x, k, s).mean(axis=-1)

    def backward(dy):
        dx = np.zeros_like(x)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                dx[:, :, i * s : i * s + k, j * s : j * s + k] += dy[:, :, i : i + 1, j : j + 1] / (
                    k * k
                )
        return {"x": dx}

    return y, backward


def global_avg_pool(x):
    H, W = x.shape[2:]

    def backward(dy):
        return {"x": np.broadcast_to(dy[:, :, None, None] / (H * W), x.shape).copy()}

    return x.mean(axis=(2, 3)), backward


def dense(x, w, b):
    def backward(dy):
        return {"x": dy @ w.T, "w": x.T @ dy, "b": dy.sum(axis=0)}

    return x @ w + b, backward


def softmax_cross_entropy(logits, labels):
    def backward(dy):
        d = stable_softmax(logits)
        d[np.arange(len(d)), labels] -= 1
        return {"logits": dy * d / len(d)}

    return cross_entropy(logits, labels), backward


def softmax(z):
    p = stable_softmax(z)

    def backward(dy):
        return {"z": p * (dy - (p * dy).sum(axis=1, keepdims=True))}

    return p, backward


def mean_squared_error(x, target):
    def backward(dy):
        d = 2 * dy * (x - target) / x.size
        return {"x": d, "target": -d}

    return ((x - target) ** 2).mean(), backward


def binary_cross_entropy(z):
    """log(1 + exp(-|z|)) + max(z, 0) - t z, for targets that alternate."""
    t = (np.arange(len(z)) % 2).astype(z.real.dtype)

    def backward(dy):
        return {"z": dy * ((stable_sigmoid(z) - t) / len(z)).astype(z.dtype)}

    return (np.log1p(np.exp(-z * np.sign(z.real))) + z * (z > 0) - t * z).sum() / len(z), backward


def hinge(scores):
    """The multiclass SVM loss of CS231n; the margin's kink takes slope 0."""
    N, K = scores.shape
    labels = np.arange(N) % K
    rows = np.arange(N)
    margins = scores - scores[rows, labels][:, None] + 1
    margins[rows, labels] = 0

    def backward(dy):
        d = (margins > 0).astype(scores.dtype)
        d[rows, labels] = -d.sum(axis=1)
        return {"scores": dy * d / N}

    return np.maximum(margins, 0).sum() / N, backward


def batch_norm(x, scale, shift, eps=1e-5):
    """The closed form of the gradient."""
    centred = x - x.mean(axis=0)
    std = np.sqrt((centred * centred).mean(axis=0) + eps)
    x_hat = centred / std

    def backward(dy):
        dscale, dshift = (dy * x_hat).sum(axis=0), dy.sum(axis=0)
        dx = scale / std * (dy - dshift / len(x) - x_hat * dscale / len(x))
        return {"x": dx, "scale": dscale, "shift": dshift}

    return scale * x_hat + shift, backward


def batch_norm_staged(x, scale, shift, eps=1e-5):
    """Node by node, as in the well-known blog post on the computational graph; the variance by
    np.var.
    """
    N = len(x)
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std

    def backward(dy):
        dx_hat = dy * scale
        dvar = (dx_hat * (x - mean)).sum(axis=0) * -0.5 * inv_std**3
        dmean = -(dx_hat * inv_std).sum(axis=0) + dvar * -2 * (x - mean).mean(axis=0)
        dx = dx_hat * inv_std + dvar * 2 * (x - mean) / N + dmean / N
        return {"x": dx, "scale": (dy * x_hat).sum(axis=0), "shift": dy.sum(axis=0)}

    return scale * x_hat + shift, backward


def batch_norm_2d(x, scale, shift, eps=1e-5):
    axes, c = (0, 2, 3), (slice(None), None, None)
    m = x.size // x.shape[1]
    centred = x - x.mean(axis=axes)[c]
    std = np.sqrt((centred * centred).mean(axis=axes) + eps)
    x_hat = centred / std[c]

    def backward(dy):
        dscale, dshift = (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)
        dx = (scale / std)[c] * (dy - dshift[c] / m - x_hat * dscale[c] / m)
        return {"x": dx, "scale": dscale, "shift": dshift}

    return scale[c] * x_hat + shift[c], backward


def layer_norm(x, scale, shift, eps=1e-5):
    centred = x - x.mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + eps)
    x_hat = centred * inv_std

    def backward(dy):
        d = dy * scale
        dx = inv_std * (
            d - d.mean(axis=1, keepdims=True) - x_hat * (d * x_hat).mean(axis=1, keepdims=True)
        )
        return {"x": dx, "scale": (dy * x_hat).sum(axis=0), "shift": dy.sum(axis=0)}

    return scale * x_hat + shift, backward


def rms_norm(x, scale, eps=1e-6):
    inv_rms = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps)

    def backward(dy):
        d = dy * scale
        dx = inv_rms * d - x * inv_rms**3 * (d * x).mean(axis=1, keepdims=True)
        return {"x": dx, "scale": (dy * x * inv_rms).sum(axis=0)}

    return x * inv_rms * scale, backward


def dropout(x, keep=0.7):
    mask = dropout_mask(x.shape, keep) / np.asarray(keep, x.real.dtype)
    return x * mask, lambda dy: {"x": dy * mask}


def dropout_unseeded(x, keep=0.7):
    """A new mask at each forward call, and backward uses that very mask: right, though no two
    calls agree.
    """
    mask = (np.random.random(x.shape) < keep) / np.asarray(keep, x.real.dtype)  # noqa: NPY002
    return x * mask, lambda dy: {"x": dy * mask}


def relu(x):
    return np.maximum(x, 0), lambda dy: {"x": dy * (x > 0)}


def relu_steep(x):
    """relu'(0) = 1: another valid subgradient."""
    return x * (x >= 0), lambda dy: {"x": dy * (x >= 0)}


def leaky_relu(x, slope=0.1):
    factor = np.where(x > 0, 1, slope).astype(x.real.dtype)
    return x * factor, lambda dy: {"x": dy * factor}


def absolute(x):
    return np.abs(x), lambda dy: {"x": dy * np.sign(x)}


def clip(x, low=-1.0, high=1.0):
    return np.clip(x, low, high), lambda dy: {"x": dy * ((x > low) & (x < high))}


def tanh(x):
    y = np.tanh(x)
    return y, lambda dy: {"x": dy * (1 - y * y)}


def sigmoid(x):
    y = stable_sigmoid(x)
    return y, lambda dy: {"x": dy * y * (1 - y)}


def swish(x):
    s = stable_sigmoid(x)
    return x * s, lambda dy: {"x": dy * (s + x * s * (1 - s))}


def gelu(x):
    """The tanh approximation."""
    c = np.asarray(np.sqrt(2 / np.pi), x.real.dtype)
    t = np.tanh(c * (x + 0.044715 * x**3))

    def backward(dy):
        return {"x": dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x))}

    return 0.5 * x * (1 + t), backward


def residual(x, w):
    """x + relu(x w)."""
    h = x @ w

    def backward(dy):
        dh = dy * (h > 0)
        return {"x": dy + dh @ w.T, "w": x.T @ dh}

    return x + np.maximum(h, 0), backward


def mlp(x, w1, b1, w2, b2):
    """dense, ReLU, dense."""
    h = x @ w1 + b1
    a = np.maximum(h, 0)

    def backward(dy):
        dh = dy @ w2.T * (h > 0)
        return {
            "x": dh @ w1.T,
            "w1": x.T @ dh,
            "b1": dh.sum(axis=0),
            "w2": a.T @ dy,
            "b2": dy.sum(axis=0),
        }

    return a @ w2 + b2, backward


def used_twice(x):
    """x is read by two branches."""
    a, b = np.tanh(x), x * x
    return a + b, lambda dy: {"x": dy * (1 - a * a) + dy * 2 * x}


def product(a, b):
    return a * b, lambda dy: {"a": dy * b, "b": dy * a}


def broadcast_add(x, b):
    return x + b, lambda dy: {"x": dy.copy(), "b": dy.sum(axis=0)}


def embedding(table, tokens):
    def backward(dy):
        dtable = np.zeros_like(table)
        np.add.at(dtable, tokens, dy)
        return {"table": dtable}

    return table[tokens], backward


def cumulative_sum(x):
    return np.cumsum(x, axis=1), lambda dy: {"x": np.cumsum(dy[:, ::-1], axis=1)[:, ::-1]}


def concat(a, b):
    def backward(dy):
        return {"a": dy[:, : a.shape[1]].copy(), "b": dy[:, a.shape[1] :].copy()}

    return np.concatenate([a, b], axis=1), backward


def transpose(x):
    """(A, B, C) -> (C, A, B)."""
    return x.transpose(2, 0, 1), lambda dy: {"x": dy.transpose(1, 2, 0).copy()}


def attention(q, k, v):
    """One head, (T, d): softmax(q k' / sqrt(d)) v."""
    factor = np.asarray(q.shape[1] ** -0.5, q.real.dtype)
    p = stable_softmax(q @ k.T * factor)

    def backward(dy):
        dp = dy @ v.T
        ds = p * (dp - (dp * p).sum(axis=1, keepdims=True)) * factor
        return {"q": ds @ k, "k": ds.T @ q, "v": p.T @ dy}

    return p @ v, backward


def rnn(x, wx, wh):
    """h_t = tanh(x_t wx + h_{t-1} wh), from h_0 = 0; x is (T, N, D), y all the states (T, N, H)."""
    hs = [np.zeros((x.shape[1], wh.shape[0]), x.dtype)]
    for x_t in x:
        hs.append(np.tanh(x_t @ wx + hs[-1] @ wh))

    def backward(dy):
        dx, dwx, dwh, dh = (
            np.zeros_like(x),
            np.zeros_like(wx),
            np.zeros_like(wh),
            np.zeros_like(hs[0]),
        )
        for t in reversed(range(len(x))):
            da = (dy[t] + dh) * (1 - hs[t + 1] ** 2)
            dx[t], dh = da @ wx.T, da @ wh.T
            dwx += x[t].T @ da
            dwh += hs[t].T @ da
        return {"x": dx, "wx": dwx, "wh": dwh}

    return np.stack(hs[1:]), backward


# ---- at which arrays
# ------------------------------------------------------------------------------------------


class Twin(NamedTuple):
    name: str
    function: object
    arrays: object  # seed -> {name: array}


def with_integers(make, **integers):
    """The same arrays and these integer ones (labels, tokens), which have no gradient."""
    return lambda seed: make(seed) | {name: np.array(values) for name, values in integers.items()}


LABELS = [2, 0, 1, 3, 1]
TOKENS = [3, 0, 3, 5, 1, 3]  # with a repetition: its rows must add up

conv_arrays = normal(x=(3, 2, 7, 5), w=(4, 2, 3, 2), b=(4,))
strided_arrays = normal(x=(3, 2, 7, 6), w=(5, 2, 3, 3), b=(5,))
grouped_arrays = normal(x=(3, 4, 5, 6), w=(6, 2, 2, 3), b=(6,))
naive_arrays = normal(x=(2, 3, 8, 6), w=(4, 3, 3, 2), b=(4,))
image_arrays = normal(x=(3, 2, 7, 6))
small_image_arrays = normal(x=(2, 3, 6, 4))
dense_arrays = normal(x=(5, 4), w=(4, 3), b=(3,))
square_arrays = normal(x=(5, 4), w=(4, 4), b=(4,))
logits_arrays = with_integers(normal(logits=(5, 4)), labels=LABELS)
norm_arrays = normal(x=(7, 4), scale=(4,), shift=(4,))
norm_2d_arrays = normal(x=(3, 4, 2, 5), scale=(4,), shift=(4,))
layer_norm_arrays = normal(x=(5, 7), scale=(7,), shift=(7,))
vector_arrays = normal(x=(5, 7))
residual_arrays = normal(x=(5, 4), w=(4, 4))
mlp_arrays = normal(x=(5, 4), w1=(4, 7), b1=(7,), w2=(7, 3), b2=(3,))
embedding_arrays = with_integers(normal(table=(7, 4)), tokens=TOKENS)
attention_arrays = normal(q=(5, 3), k=(7, 3), v=(7, 4))
signal_arrays = normal(x=(3, 2, 9), w=(5, 2, 4))
depthwise_arrays = normal(x=(2, 3, 6, 5), w=(3, 2, 3))
picture_arrays = normal(x=(2, 3, 5, 4))
matrix_arrays = normal(x=(6, 5))
rnn_arrays = normal(x=(4, 3, 2), wx=(2, 5), wh=(5, 5))

TWINS = [
    Twin(f.__name__, f, arrays)
    for f, arrays in [
        (conv, conv_arrays),
        (conv_strided, strided_arrays),
        (conv_grouped, grouped_arrays),
        (conv_naive, naive_arrays),
        (max_pool, image_arrays),
        (max_pool_overlapping, image_arrays),
        (max_pool_shared, image_arrays),
        (avg_pool, image_arrays),
        (global_avg_pool, image_arrays),
        (dense, dense_arrays),
        (softmax_cross_entropy, logits_arrays),
        (softmax, normal(z=(5, 4))),
        (mean_squared_error, normal(x=(5, 4), target=(5, 4))),
        (binary_cross_entropy, normal(z=(9,))),
        (hinge, normal(scores=(5, 4))),
        (batch_norm, norm_arrays),
        (batch_norm_staged, norm_arrays),
        (batch_norm_2d, norm_2d_arrays),
        (layer_norm, layer_norm_arrays),
        (rms_norm, normal(x=(5, 7), scale=(7,))),
        (dropout, vector_arrays),
        (dropout_unseeded, vector_arrays),
        (relu, vector_arrays),
        (relu_steep, vector_arrays),
        (leaky_relu, vector_arrays),
        (absolute, vector_arrays),
        (clip, vector_arrays),
        (tanh, vector_arrays),
        (sigmoid, vector_arrays),
        (swish, vector_arrays),
        (gelu, vector_arrays),
        (residual, residual_arrays),
        (mlp, mlp_arrays),
        (used_twice, vector_arrays),
        (product, normal(a=(5, 4), b=(5, 4))),
        (broadcast_add, normal(x=(5, 4), b=(4,))),
        (embedding, embedding_arrays),
        (cumulative_sum, vector_arrays),
        (concat, normal(a=(5, 4), b=(5, 3))),
        (transpose, normal(x=(4, 5, 3))),
        (attention, attention_arrays),
        (rnn, rnn_arrays),
    ]
]
