"""Networks from layers: serial runs the backwards in reverse, residual adds the two paths'
gradients.
"""

from reference.flat import identity
from reference.initial import child, count_layers, layer_key
from reference.layer import Layer

__all__ = ["residual", "serial"]


def serial(*layers):
    """Compose layers, the first one first: the chain rule is the backwards, last one first.
    Params and state are lists.
    """
    parts = _layers("serial", layers)

    def init(key, shape, dtype="float64"):
        params, state, used = [], [], 0
        for part in parts:
            shape, p, s = part.init(layer_key(key, used), shape, dtype)
            used += count_layers(p)
            params.append(p)
            state.append(s)
        return tuple(shape), params, state

    def forward(params, state, x, train, key):
        after, backwards = [], []
        for i, part in enumerate(parts):
            x, s, back = part.forward(params[i], state[i], x, train, child(key, i))
            after.append(s)
            backwards.append(back)

        def backward(dy):
            grads = []
            for back in reversed(backwards):
                dy, g = back(dy)
                grads.append(g)
            return dy, tuple(grads[::-1]) if isinstance(params, tuple) else grads[::-1]

        return x, after, backward

    return Layer("serial", {}, init, forward, parts)


def residual(main, shortcut=None):
    """Add two paths, y = main(x) + shortcut(x): both get dy, and their dx add up. No shortcut
    means the identity.
    """
    main, shortcut = parts = _layers(
        "residual", (main, identity() if shortcut is None else shortcut)
    )

    def init(key, shape, dtype="float64"):
        out, p, s = main.init(key, shape, dtype)
        out_, p_, s_ = shortcut.init(layer_key(key, count_layers(p)), shape, dtype)
        if out != out_:
            raise ValueError(
                f"residual adds its paths, but main ends in {out} and the shortcut in {out_}; "
                f"give shortcut=conv({out[0]}, 1, stride=...)"
            )
        return out, {"main": p, "shortcut": p_}, {"main": s, "shortcut": s_}

    def forward(params, state, x, train, key):
        y, s, back = main.forward(params["main"], state["main"], x, train, child(key, 0))
        y_, s_, back_ = shortcut.forward(
            params["shortcut"], state["shortcut"], x, train, child(key, 1)
        )

        def backward(dy):
            dx, g = back(dy)
            dx_, g_ = back_(dy)
            return dx + dx_, {"main": g, "shortcut": g_}

        return y + y_, {"main": s, "shortcut": s_}, backward

    return Layer("residual", {}, init, forward, parts)


def _layers(word, layers):
    for layer in layers:
        if not isinstance(layer, Layer):
            name = getattr(layer, "__name__", None)
            hint = (
                f"call it: {name}()"
                if callable(layer) and name
                else "parts are layers of reference, such as relu()"
            )
            raise ValueError(
                f"{word} got {name or repr(layer)[:60]}, which is no layer of this vocabulary; {hint}"
            )
    return tuple(layers)
