"""Trace: every intermediate of a forward pass by name, in the order in which it is computed."""

from typing import Any

from autocnn.inspection.walk import named_layers, run_with_taps
from autocnn.ops import softmax
from reference import validate
from reference.warn import warn

__all__ = ["Trace", "trace"]


class Trace(dict):
    """Intermediates by name, in order; a missing name is an error that lists the names."""

    def __missing__(self, name):
        found = [key for key in self if name in key]
        if len(found) == 1:
            warn(
                f"shortened names of intermediates are deprecated: write {found[0]!r} for {name!r}",
                DeprecationWarning,
            )
            return self[found[0]]
        raise KeyError(f"there is no intermediate {name!r}; there are {', '.join(self)}")


def trace(model: Any, params: Any, state: Any, x: Any) -> Trace:
    """Return every intermediate of a batch in evaluation mode, as a dict in order.

    model, params, state: a network of any interpretation and its trees. x: (N, *shape).
    Entries: "input", each layer's output by its name in ``summary`` (conv, relu, ..., numbered
    where a word occurs more than once), "logits", the network's output, and "probs", its
    softmax. Raises ValueError for arguments that do not fit the network.
    """
    validate.call(model, params, state, x)
    names, found = dict(named_layers(model)), Trace(input=x)

    def tap(tap):
        found[names[tap.path]] = tap.y

    logits, _ = run_with_taps(model, params, state, x, tap)
    found["logits"] = logits
    found["probs"] = softmax(logits)
    return found
