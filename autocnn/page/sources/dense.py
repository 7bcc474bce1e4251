def dense(x, w, b):
    """Multiply rows x (N, D) by weights w (D, K) and add a bias b (K,)."""
    y = x @ w + b

    def backward(dy):
        dx = dy @ w.T
        dw = x.T @ dy
        db = dy.sum(axis=0)
        return {"x": dx, "w": dw, "b": db}

    return y, backward
