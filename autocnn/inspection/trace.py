"""Trace: every intermediate of a forward pass by name, in the order in which it is computed."""

from autocnn.inspection.summary import named_parts
from autocnn.ops import softmax
from reference import validate as checks

__all__ = ["Trace", "trace"]


class Trace(dict):
    """Intermediates by name, in order. A name may be shortened while one entry fits:
    ``["pool"]`` finds ``max_pool``.
    """

    def __missing__(self, name):
        if name == "logits":  # the network's output, whatever its last layer is called
            return list(self.values())[-2]
        found = [key for key in self if name in key]
        if len(found) == 1:
            return self[found[0]]
        raise KeyError(f"no intermediate is called {name!r}; there are {', '.join(found or self)}")


def trace(model, params, state, x):
    """Return every intermediate of a batch x in evaluation mode, as a dict in order: input, each
    layer's output, probs.

    Layers are named as in ``summary``: conv, relu, ... with a number where a word occurs more than
    once.
    """
    checks.call(model, params, state, x)
    taps = Trace(input=x)

    def run(layer, path, params, state, x):
        if layer.name == "serial":
            for i, part in enumerate(layer.parts):
                x = run(part, (*path, i), params[i], state[i], x)
            return x
        if layer.name == "residual":
            main, shortcut = layer.parts
            y = run(main, (*path, "main"), params["main"], state["main"], x)
            y = y + run(shortcut, (*path, "shortcut"), params["shortcut"], state["shortcut"], x)
        else:
            y = layer.forward(params, state, x, False, None)[0]
        taps[names[path]] = y
        return y

    names = dict(named_parts(model))
    taps["probs"] = softmax(run(model, (), params, state, x))
    return taps
