"""Networks from fast layers: serial computes neighbours as blocks, residual adds two paths."""

from autocnn import layers as plain
from autocnn.fast.elementwise import add_relu, relu_backward
from autocnn.fast.fuse import groups
from autocnn.fast.layer import fast_layer, pull_of
from autocnn.keys import child

__all__ = ["residual", "serial"]

_KEYLESS = (
    "conv",
    "dense",
    "flatten",
    "relu",
    "max_pool",
    "avg_pool",
    "batch_norm",
    "identity",
    "global_avg_pool",
    "tanh",
)


def serial(*layers):
    """Compose layers, the first one first: ``autocnn.layers.serial``."""
    whole = plain.serial(*layers)
    plan = [
        (i, j, block or pull_of(whole.parts[i]), block is not None)
        for i, j, block in _plan(whole.parts)
    ]
    draws = [part.name not in _KEYLESS for part in whole.parts]

    def pull(params, state, x, train, key, need):
        after, backs, asked = [], [], need
        for i, j, step, is_block in plan:
            if is_block:
                x, s, back = step(params[i:j], state[i:j], x, train, child(key, i), asked)
                after += s
            else:
                x, s, back = step(
                    params[i], state[i], x, train, child(key, i) if draws[i] else None, asked
                )
                after.append(s)
            if need is not None:
                # Nothing in front of the first parameters is differentiated, unless x itself is
                # asked for.
                backs.append((i, j, back if asked or any(params[i:j]) else None, is_block))
                asked = asked or any(params[i:j])

        def run(dy, backs):
            grads = [None] * len(params)
            while backs:
                i, j, back, is_block = backs.pop()
                if back is None:
                    grads[i:j] = [{} for _ in range(i, j)]
                    dy = None
                    continue
                dy, g = back(dy)
                grads[i:j] = g if is_block else [g]
                back = None
            return dy, tuple(grads) if isinstance(params, tuple) else grads

        def backward(dy):
            return run(dy, list(backs))

        backward.spend = lambda dy: run(
            dy, backs
        )  # gives up each layer's arrays as soon as it is done: once only
        return x, after, backward

    return fast_layer(whole, pull, whole.parts)


def _plan(parts):
    """Cut layers into (start, stop, block): blocks of neighbours, and single layers with block
    None.
    """
    found = groups(parts)
    for at, (i, j, block) in enumerate(found):
        behind = parts[j].name if j < len(parts) and hasattr(parts[j].forward, "pull") else None
        if (
            block is None
            and parts[i].name == "residual"
            and hasattr(parts[i].forward, "pull")
            and behind == "relu"
        ):
            found[at : at + 2] = [(i, j + 1, _residual_block(parts[i]))]
    return found


def residual(main, shortcut=None):
    """Add two paths, y = main(x) + shortcut(x): ``autocnn.layers.residual``."""
    whole = plain.residual(main, *([] if shortcut is None else [shortcut]))
    return fast_layer(whole, sum_of(*map(pull_of, whole.parts), relu=False), whole.parts)


def _residual_block(layer):
    """Make the pull of a residual and the ReLU behind it, over lists of both."""
    both = sum_of(*map(pull_of, layer.parts), relu=True)

    def pull(params, state, x, train, key, need):
        y, after, back = both(params[0], state[0], x, train, key, need)

        def backward(dy):
            dx, grads = back(dy)
            return dx, [grads, {}]

        return y, [after, state[1]], backward

    return pull


def sum_of(one, two, relu):
    """Make the pull of a residual from those of its two paths; with ``relu``, of max(main(x) +
    shortcut(x), 0).
    """

    def pull(params, state, x, train, key, need):
        y, s, back = one(params["main"], state["main"], x, train, child(key, 0), need)
        y_, s_, back_ = two(params["shortcut"], state["shortcut"], x, train, child(key, 1), need)
        y = add_relu(y, y_) if relu else y + y_

        def backward(dy):
            g = relu_backward(dy, y) if relu else dy
            dx, grads = back(g)
            dx_, grads_ = back_(g)
            return dx + dx_ if need else None, {"main": grads, "shortcut": grads_}

        return y, {"main": s, "shortcut": s_}, backward

    return pull
