"""The bug catalogue: backward passes that are wrong in known ways, and correct twins of each layer.

It tests the gradient checker. Every bug is a plain function `f(**arrays) -> (y, backward)`, written
the way a person would write the mistake, with the codes that name it rightly. The visible files
were open while the checker's rules were written; the held-back files were not, so the rate on them
is an estimate for bugs that nobody has listed.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Bug(NamedTuple):
    name: str
    layer: str
    function: Callable  # f(**arrays) -> (y, backward);  backward(dy) -> {name: gradient}
    arrays: Callable  # seed -> {name: array}
    # the causes that name it rightly: more than one only where both describe the same mistake
    codes: frozenset
    why: str


def bug(layer, arrays, *codes):
    """Turn the function below into a `Bug`; its docstring tells what was done wrong."""
    return lambda f: Bug(f.__name__, layer, f, arrays, frozenset(codes), f.__doc__)


def normal(**shapes):
    """Array maker: seed -> standard normal arrays of these shapes."""

    def make(seed):
        rng = np.random.default_rng(seed)
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    return make


def catalogue(prefix):
    """All bugs in the files `visible_*.py` or `held_back_*.py`, in the order of the files."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith(prefix))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return [
        value for module in modules for value in vars(module).values() if isinstance(value, Bug)
    ]


def draw(bugs, seed=20):
    """The names held back: a third of the list, drawn by chance and stratified by layer.

    The bugs of each layer are shuffled, the layers are laid end to end, and every third bug is held
    back, from a start that is drawn too. So each bug had the same chance of 1/3, and each layer
    gives a third of its bugs, to within one. The list was complete before the draw, and the draw
    was made once. A second list, of other layers (the files `*_others.py`), was added and drawn in
    the same way later.
    """
    rng = np.random.default_rng(seed)
    order = []
    for layer in sorted({b.layer for b in bugs}):
        names = sorted(b.name for b in bugs if b.layer == layer)
        order += [names[i] for i in rng.permutation(len(names))]
    return set(order[rng.integers(3) :: 3])
