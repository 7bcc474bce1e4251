"""Reverse mode over trees: autograd's tape and derivative tables, driven leaf by leaf.

autograd differentiates a container by boxing it whole and unpacking it inside the trace. Boxing
each array directly instead saves a quarter of a small network's step. Two weaknesses of autograd
end here as well: its trace stack is one global counter, so threads take turns; and an exception
inside a traced function would leave that counter one too high.
"""

import threading

import numpy as np
from autograd.builtins import DictBox, SequenceBox
from autograd.core import VJPNode, add_outgrads
from autograd.tracer import getval, isbox, new_box, trace_stack
from autograd.util import toposort

from autocnn.trees import tree_map

__all__ = ["getval", "opened", "vjp"]

_turn = threading.RLock()


def vjp(f, *trees):
    """Evaluate ``y, aux = f(*trees)`` and return ``(y, aux, backward)``.

    ``y`` is an array; ``backward(dy)``, with dy of y's shape, returns a tuple with one tree of
    gradients for each of ``trees``: sum_j dy_j * d y_j / d leaf. ``aux`` is whatever else f
    computes; no gradient flows through it. Leaves that do not influence y get zeros. The trees may
    hold boxes of an enclosing trace: derivatives of any order nest.
    """
    with _turn:
        level = trace_stack.top = trace_stack.top + 1
        try:
            boxed = [
                tree_map(lambda leaf: new_box(leaf, level, VJPNode.new_root()), tree)
                for tree in trees
            ]
            y, aux = f(*boxed)
        finally:
            trace_stack.top = level - 1
    traced = isbox(y) and y._trace == level
    value, end = (y._value, y._node) if traced else (y, None)

    def backward(dy):
        found = _backward_pass(end, dy) if traced else {}

        def gradient(box):
            return found[box._node] if box._node in found else np.zeros_like(getval(box))

        return tuple(tree_map(gradient, tree) for tree in boxed)

    return value, aux, backward


def opened(tree):
    """Return a tree of traced leaves for one that is traced as a whole, which is how
    ``autograd.grad`` takes a tree.
    """
    if trace_stack.top < 0:  # nobody is differentiating
        return tree
    if isinstance(tree, (dict, DictBox)):
        return {key: opened(tree[key]) for key in tree}
    if isinstance(tree, (list, tuple, SequenceBox)):
        parts = [opened(tree[i]) for i in range(len(tree))]
        return tuple(parts) if isinstance(getval(tree), tuple) else parts
    return tree


def _backward_pass(end, dy):
    """Return {root: gradient}. autograd's own pass returns one root's gradient only."""
    pending, found = {end: (dy, False)}, {}
    for node in toposort(end):
        total = pending.pop(node)
        if not node.parents:
            found[node] = total[0]
            continue
        for parent, part in zip(node.parents, node.vjp(total[0]), strict=True):
            pending[parent] = add_outgrads(pending.get(parent), part)
    return found
