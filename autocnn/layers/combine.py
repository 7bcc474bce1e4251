"""Networks from layers: serial runs its parts one after another, residual adds a shortcut around
its main part.
"""

from autocnn.keys import child, layer_key
from autocnn.layers.flat import identity
from autocnn.layers.initial import count_layers
from autocnn.layers.layer import Layer

__all__ = ["residual", "serial"]


def serial(*layers):
    """Compose layers, the first one first. Params and state are lists with one entry a part:
    paths read ``3.main.0.w``.
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
        after = []
        for i, part in enumerate(parts):
            x, s = part.forward(params[i], state[i], x, train, child(key, i))
            after.append(s)
        return x, after

    return Layer("serial", {}, init, forward, parts)


def residual(main, shortcut=None):
    """Add two paths, y = main(x) + shortcut(x); without a shortcut the input itself is added.

    He et al. 2016, Deep residual learning, equations 1 and 2. Params and state are {"main": ...,
    "shortcut": ...}.
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
        y, s = main.forward(params["main"], state["main"], x, train, child(key, 0))
        y_, s_ = shortcut.forward(params["shortcut"], state["shortcut"], x, train, child(key, 1))
        return y + y_, {"main": s, "shortcut": s_}

    return Layer("residual", {}, init, forward, parts)


def _layers(word, layers):
    for layer in layers:
        if not isinstance(layer, Layer):
            name = getattr(layer, "__name__", None)
            hint = (
                f"call it: {name}()"
                if callable(layer) and name
                else "parts are layers of autocnn.layers, such as relu()"
            )
            raise ValueError(
                f"{word} got {name or repr(layer)[:60]}, which is no layer of this vocabulary; {hint}"
            )
    return tuple(layers)
