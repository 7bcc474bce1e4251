"""Words made of other layers."""

from reference.initial import count_layers
from reference.keys import layer_key
from reference.layer import Declaration

__all__ = ["concat", "residual", "serial"]


def serial(*layers):
    """Layers one after another. Params and state are lists with one entry a layer."""

    def init(key, shape, dtype):
        params, state, used = [], [], 0
        for layer in layers:
            shape, p, s = layer.init(layer_key(key, used), shape, dtype)
            used += count_layers(p)
            params.append(p)
            state.append(s)
        return tuple(shape), params, state

    return Declaration("serial", {}, init, layers, tuple(range(len(layers))))


def residual(main, shortcut=None):
    """The sum of two paths, y = main(x) + shortcut(x); the shortcut is the identity unless given.

    Params and state are {"main": ..., "shortcut": ...}. He et al. 2016, Deep residual learning
    for image recognition, equations 1 and 2.
    """

    def init(key, shape, dtype):
        out, p, s = main.init(key, shape, dtype)
        other, q, t = shortcut.init(layer_key(key, count_layers(p)), shape, dtype)
        if out != other:
            raise ValueError(
                f"residual adds its paths, but main ends in {out} and the shortcut in {other}; "
                f"give shortcut=conv({out[0]}, 1, stride=...)"
            )
        return out, {"main": p, "shortcut": q}, {"main": s, "shortcut": t}

    return Declaration("residual", {}, init, (main, shortcut), ("main", "shortcut"))


def concat(*paths):
    """The outputs of several paths, one after another along the channels.

    y = concatenate(path_0(x), path_1(x), ...), (C, H, W) -> (C_0 + C_1 + ..., Ho, Wo); all paths
    end in one Ho and Wo. Params and state are lists with one entry a path. Huang et al. 2017,
    Densely connected convolutional networks, section 3.
    """
    if not paths:
        raise ValueError("concat needs at least one path, as in concat(identity(), conv(8, 1))")

    def init(key, shape, dtype):
        outs, params, state, used = [], [], [], 0
        for path in paths:
            out, p, s = path.init(layer_key(key, used), shape, dtype)
            used += count_layers(p)
            outs.append(out)
            params.append(p)
            state.append(s)
        if len({out[1:] for out in outs}) > 1:
            raise ValueError(
                f"concat needs paths that end in equal sizes, got {', '.join(map(str, outs))}"
            )
        return (sum(out[0] for out in outs), *outs[0][1:]), params, state

    return Declaration("concat", {}, init, paths, tuple(range(len(paths))))
