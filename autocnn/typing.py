"""Types of the public interface, for annotations.

    from autocnn.typing import Array, Key, Model, Tree

``Dataset``, ``Optimizer``, ``Run``, ``RunConfig`` and ``TrainState`` live in the packages that
define them (``autocnn.data``, ``autocnn.optim``, ``autocnn.runs``, ``autocnn.training``) and are
imported from there when first asked for, so that this module loads nothing but NumPy.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from autocnn.data import Dataset
    from autocnn.optim import Optimizer
    from autocnn.runs import RunConfig
    from autocnn.training import Run, TrainState

__all__ = [
    "Array",
    "Dataset",
    "Key",
    "Model",
    "Optimizer",
    "Run",
    "RunConfig",
    "Shape",
    "TrainState",
    "Tree",
]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A NumPy array of any shape and dtype."""

Shape: TypeAlias = tuple[int, ...]
"""The shape of one example, without the batch axis: (C, H, W) or (D,)."""

Key: TypeAlias = int | Sequence[int]
"""A random key: an int of 0 or more, or a sequence of them. Equal keys draw equal numbers."""

Tree: TypeAlias = Any
"""A tree: an array, or a dict, list or tuple of trees. Parameters, state and gradients are trees.

It stands for a recursive type, which would reject ``params[3]["main"]`` for want of a check.
"""


@runtime_checkable
class Model(Protocol):
    """A network: what ``train``, ``evaluate``, ``predict``, ``summary`` and ``trace`` take.

    The layers of all three interpretations (``autocnn.layers``, ``autocnn.fast``, ``reference``)
    are Models.
    """

    @property
    def init(self) -> Callable[..., tuple[Shape, Tree, Tree]]:
        """Function ``init(key, shape, dtype="float64") -> (output shape, params, state)``."""

    def apply(
        self, params: Tree, state: Tree, x: Array, train: bool = False, key: Key | None = None
    ) -> tuple[Array, Tree]:
        """Compute the output for a batch x (N, *shape). Returns (y, state)."""

    def vjp(
        self, params: Tree, state: Tree, x: Array, train: bool = False, key: Key | None = None
    ) -> tuple[Array, Tree, Callable[[Array], tuple[Array, Tree]]]:
        """Return (y, state, backward), where backward(dy) returns (dx, dparams)."""

    def loss_and_grad(
        self,
        params: Tree,
        state: Tree,
        batch: Any,
        key: Key | None = None,
        train: bool = True,
        loss: Any = ...,
    ) -> tuple[Any, Tree, Tree]:
        """Return (loss, grads, state) for a batch (x, labels) or (x, labels, weights).

        loss: an ``ac.losses.Loss``; cross-entropy unless given.
        """


_HOMES = {
    "Dataset": "autocnn.data",
    "Optimizer": "autocnn.optim",
    "Run": "autocnn.training",
    "RunConfig": "autocnn.runs",
    "TrainState": "autocnn.training",
}


def __getattr__(name: str) -> Any:
    """Import a type from the package that defines it."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'autocnn.typing' has no attribute {name!r}")
