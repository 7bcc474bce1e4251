"""Pictures to learn from: the chapter's patterns, scikit-learn's digits, MNIST, Fashion-MNIST,
or your own.
"""

from autocnn.data.dataset import Dataset
from autocnn.data.patterns import patterns
from autocnn.data.real import DifferentData, MissingData, load

__all__ = ["Dataset", "DifferentData", "MissingData", "load", "patterns"]
