"""A data set: training, validation and test images with their labels, and class names."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np

from autocnn.text import shape_text

__all__ = ["Dataset"]

BESIDE = ("x_test", "y_test", "notes")  # what is beside the five fields that unpack


class _Fields(NamedTuple):
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: Any
    y_val: Any
    classes: tuple[str, ...]


class Dataset(_Fields):
    """Images and labels, split for training, validation and, if there are more, a test.

    x_train, x_val: images (N, C, H, W), float64 or float32, in [0, 1]. y_train, y_val: labels
    (N,), int64, indices into ``classes``, a tuple of names. x_val and y_val may be None: there is
    nothing to validate on. These five unpack like a tuple:

    >>> from autocnn.data import patterns
    >>> x_train, y_train, x_val, y_val, classes = patterns()
    >>> x_train.shape, classes[y_train[0]]
    ((180, 1, 8, 8), 'vertical')

    x_test, y_test: keywords; images that neither training nor the choice of an epoch sees, None
    where there are none. notes: a tuple of sentences about how the data were read, such as a size
    that was chosen or files that were left out. ``_replace`` takes all eight.
    """

    x_test: Any
    y_test: Any
    notes: tuple[str, ...]

    def __new__(
        cls,
        x_train: np.ndarray,
        y_train: np.ndarray,
        x_val: Any = None,
        y_val: Any = None,
        classes: tuple[str, ...] = (),
        *,
        x_test: Any = None,
        y_test: Any = None,
        notes: Iterable[str] = (),
    ) -> Self:
        self = super().__new__(cls, x_train, y_train, x_val, y_val, classes)
        self.x_test, self.y_test, self.notes = x_test, y_test, tuple(notes)
        return self

    def _replace(self, **changes: Any) -> Self:
        """Return a copy with other values for the named fields."""
        values = self._asdict() | {name: getattr(self, name) for name in BESIDE}
        unknown = [name for name in changes if name not in values]
        if unknown:
            raise ValueError(f"a Dataset has no field {unknown[0]!r}; it has {', '.join(values)}")
        return type(self)(**values | changes)

    def __repr__(self) -> str:
        counts = [len(self.x_train)]
        counts += [len(x) for x in (self.x_val, self.x_test) if x is not None]
        notes = "".join(f"; {note}" for note in self.notes)
        return (
            f"Dataset({' + '.join(map(str, counts))} images of "
            f"{shape_text(self.x_train.shape[1:], 'x')}, {self.x_train.dtype}, "
            f"classes: {', '.join(self.classes)}{notes})"
        )
