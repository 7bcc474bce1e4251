"""Data sets: the chapter's patterns, scikit-learn's digits, MNIST, Fashion-MNIST, or your own.

data = ac.data.load("mnist")        # or patterns(), "digits", "fashion-mnist", a folder
run = ac.train(params, data)
"""

from autocnn.data.dataset import Dataset
from autocnn.data.loaders import DifferentData, MissingData, load
from autocnn.data.patterns import patterns

__all__ = ["Dataset", "DifferentData", "MissingData", "load", "patterns"]
