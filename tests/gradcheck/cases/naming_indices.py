"""Indices: repeated, used as slices, of another loop; windows assigned or read elsewhere."""

import numpy as np

from autocnn import gradcheck


def normal(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


def mean_of_words(E, ids):
    """Mean embedding of each sentence."""

    def backward(dy):
        dE = np.zeros_like(E)
        for row, g in zip(ids, dy, strict=True):
            dE[row] += g / ids.shape[1]
        return {"E": dE}

    return E[ids].mean(axis=1), backward


def repeated_word():
    ids = np.array([[4, 1, 4], [0, 0, 2], [3, 1, 5], [5, 5, 5]])
    return gradcheck.check(mean_of_words, **normal(E=(7, 3)), ids=ids)


COLUMNS = np.array([2, 0, 2, 3, 0])


def gathered_columns(x):
    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, COLUMNS] += dy
        return {"x": dx}

    return x[:, COLUMNS], backward


def repeated_column():
    return gradcheck.check(gathered_columns, **normal(x=(3, 4)))


def graph_sum(x, src, dst):
    """Messages summed over the edges of a graph, squared."""
    h = np.zeros((4, x.shape[1]), dtype=x.dtype)
    np.add.at(h, dst, x[src])
    y = h**2

    def backward(dy):
        d = 2 * h * dy
        dx = np.zeros_like(x)
        dx[src] += d[dst]
        return {"x": dx}

    return y, backward


def repeated_edge():
    src, dst = np.array([0, 1, 1, 2, 4]), np.array([0, 0, 1, 2, 3])
    return gradcheck.check(graph_sum, **normal(x=(5, 3)), src=src, dst=dst)


def row_maxima(x):
    at = x.argmax(axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        dx[at] = dy
        return {"x": dx}

    return x.max(axis=1), backward


def rows_for_entries():
    return gradcheck.check(row_maxima, **normal(x=(5, 5)))


def chosen_scores(x, y):
    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, y] = dy[:, None]
        return {"x": dx}

    return x[np.arange(len(y)), y], backward


def labels_for_entries():
    return gradcheck.check(chosen_scores, **normal(x=(3, 6)), y=np.array([4, 0, 2]))


def cross_entropy(x, y):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    N = len(y)

    def backward(dy):
        d = p.copy()
        d[:, y] -= 1
        return {"x": dy * d / N}

    return -np.log(p[np.arange(N), y]).mean(), backward


def one_hot_in_every_row():
    return gradcheck.check(cross_entropy, **normal(x=(4, 6)), y=np.array([1, 5, 1, 0]))


def loops(x, w):
    """A dense layer in loops; dw reads dy at the loop over inputs."""
    y = np.zeros((len(x), w.shape[1]))
    y = y + x @ w

    def backward(dy):
        dw = np.zeros_like(w)
        for n in range(len(x)):
            for i in range(w.shape[0]):
                for j in range(w.shape[1]):
                    dw[i, j] += x[n, i] * dy[n, i]
        return {"x": dy @ w.T, "w": dw}

    return y, backward


def index_of_another_loop():
    return gradcheck.check(loops, **normal(x=(3, 4), w=(4, 4)))


def stuck(x, w):
    y = x @ w

    def backward(dy):
        dw = np.zeros_like(w)
        last = len(x) - 1  # where the loop variable of another loop was left
        for i in range(len(x)):
            dw += np.outer(x[i], dy[last])
        return {"x": dy @ w.T, "w": dw}

    return y, backward


def index_left_over():
    return gradcheck.check(stuck, **normal(x=(3, 4), w=(4, 2)))


def conv2d(x, w, stride=2, dilation=1, forget="stride"):
    """(N, C, H, W) * (F, C, k, k)."""
    k = w.shape[2]
    n = (x.shape[2] - dilation * (k - 1) - 1) // stride + 1
    m = (x.shape[3] - dilation * (k - 1) - 1) // stride + 1

    def windows(s, d):
        return np.stack(
            [
                x[:, :, i * s : i * s + d * k : d, j * s : j * s + d * k : d][:, :, :k, :k]
                for i in range(n)
                for j in range(m)
            ],
            axis=1,
        )

    y = np.einsum("npcab,fcab->nfp", windows(stride, dilation), w).reshape(len(x), len(w), n, m)

    def backward(dy):
        s, d = (1, dilation) if forget == "stride" else (stride, 1)
        dw = np.einsum("npcab,nfp->fcab", windows(s, d), dy.reshape(len(x), len(w), -1))
        return {"w": dw}

    return y, backward


def stride_forgotten_in_2d():
    x = normal(seed=3, x=(2, 2, 7, 7))["x"]
    return gradcheck.check(lambda w: conv2d(x, w), **normal(w=(3, 2, 3, 3)))


def stride_forgotten_with_x():
    def layer(x, w):
        y, back = conv2d(x, w)

        def backward(dy):
            dx = np.zeros_like(x)
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    dx[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += np.einsum(
                        "nf,fcab->ncab", dy[:, :, i, j], w
                    )
            return {"x": dx, **back(dy)}

        return y, backward

    return gradcheck.check(layer, **normal(x=(2, 2, 7, 7), w=(3, 2, 3, 3)))


def dilation_forgotten():
    def layer(x, w, d=2):
        k, n = len(w), x.shape[1] - d * (len(w) - 1)
        y = np.stack([x[:, j : j + d * k : d][:, :k] @ w for j in range(n)], 1)

        def backward(dy):
            dx = np.zeros_like(x)
            for j in range(n):
                for a in range(k):
                    dx[:, j + d * a] += dy[:, j] * w[a]
            return {"x": dx, "w": sum(dy[:, j] @ x[:, j : j + k] for j in range(n))}

        return y, backward

    return gradcheck.check(layer, **normal(x=(2, 9), w=(3,)))


def max_pool_1d(x, k=3):
    n = x.shape[1] - k + 1
    y = np.stack([x[:, j : j + k].max(axis=1) for j in range(n)], axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        for j in range(n):
            window = x[:, j : j + k]
            dx[:, j : j + k] = np.where(
                window == window.max(axis=1, keepdims=True), dy[:, j : j + 1], 0
            )
        return {"x": dx}

    return y, backward


def windows_assigned_1d():
    return gradcheck.check(max_pool_1d, **normal(x=(4, 8)))


def min_pool_strided(x):
    """Windows of 3 every 2, for each image and channel."""
    n = (x.shape[2] - 3) // 2 + 1
    y = np.stack([x[:, :, 2 * j : 2 * j + 3].min(axis=2) for j in range(n)], axis=2)

    def backward(dy):
        dx = np.zeros_like(x)
        for b in range(x.shape[0]):
            for c in range(x.shape[1]):
                for j in range(n):
                    window = x[b, c, 2 * j : 2 * j + 3]
                    dx[b, c, 2 * j : 2 * j + 3] = (window == window.min()) * dy[b, c, j]
        return {"x": dx}

    return y, backward


def windows_assigned_strided():
    return gradcheck.check(min_pool_strided, **normal(seed=4, x=(4, 3, 9)))


CASES = [
    (repeated_word, {"overwritten", "partial"}, ()),
    (repeated_column, {"overwritten", "partial"}, ()),
    (repeated_edge, {"overwritten", "partial"}, ()),
    (rows_for_entries, {"permuted", "overwritten", "broadcast"}, ()),
    (labels_for_entries, {"permuted", "overwritten", "broadcast"}, ()),
    (one_hot_in_every_row, {"permuted", "overwritten", "broadcast", "additive"}, ()),
    (index_of_another_loop, {"permuted", "wrong-operand", "broadcast", "transposed"}, ()),
    (index_left_over, {"broadcast", "partial", "wrong-operand"}, ()),
    (stride_forgotten_in_2d, {"shifted", "permuted", "wrong-operand"}, ()),
    (stride_forgotten_with_x, {"shifted", "permuted", "wrong-operand"}, ("moves by 1", "stride")),
    (dilation_forgotten, {"shifted", "permuted", "wrong-operand"}, ("dilation",)),
    (windows_assigned_1d, {"overwritten"}, ()),
    (windows_assigned_strided, {"overwritten"}, ()),
]
