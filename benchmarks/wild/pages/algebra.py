"""Linear algebra."""

import numpy as np

from benchmarks.wild.pairs import closure, normal, pair

# ---- least squares: the gradient of the matrix without the residual's term


def least_squares(a, b):
    return np.linalg.solve(a.T @ a, a.T @ b)


def least_squares_gradient(residual):
    def backward(dy, a, b):
        x = least_squares(a, b)
        z = np.linalg.solve(a.T @ a, dy)
        da = -np.outer(a @ z, x)
        if residual:
            da = da + np.outer(b - a @ x, z)
        return {"a": da, "b": a @ z}

    return backward


pair(
    "least squares without the residual",
    kind="path",
    link="https://github.com/SciML/LinearSolve.jl/issues/1309",
    shows="where the matrix is not square",
    buggy=closure(least_squares, least_squares_gradient(False)),
    fixed=closure(least_squares, least_squares_gradient(True)),
    arrays={"a": normal(5, 3), "b": normal(5)},
    codes=("missing-path",),
)

# ---- an upper Cholesky factor: the lower triangle is not read, and gets a gradient


def factor(x):
    """U with U.T U = x, from the upper triangle of x."""
    n = len(x)
    u = np.zeros(x.shape, x.dtype)
    for i in range(n):
        u[i, i] = np.sqrt(x[i, i] - np.sum(u[:i, i] ** 2))
        for j in range(i + 1, n):
            u[i, j] = (x[i, j] - np.sum(u[:i, i] * u[:i, j])) / u[i, i]
    return u


def symmetric_gradient(dy, x):
    u = factor(x)
    inner = np.triu(np.triu(dy) @ u.T)
    inner[np.diag_indices(len(x))] /= 2
    s = np.linalg.solve(u, np.linalg.solve(u, inner.T).T)
    return {"x": (s + s.T) / 2}


def upper_gradient(dy, x):
    s = symmetric_gradient(dy, x)["x"]
    return {"x": np.triu(s + s.T) - np.diag(np.diag(s))}


SPD = normal(3, 3) @ normal(3, 3).T + 3 * np.eye(3)
pair(
    "cholesky gives the unread triangle a gradient",
    kind="mask",
    link="https://github.com/jax-ml/jax/issues/40421",
    shows="always",
    buggy=closure(factor, symmetric_gradient),
    fixed=closure(factor, upper_gradient),
    arrays={"x": SPD},
    codes=("mask", "additive", "permuted", "missing-path"),
)
