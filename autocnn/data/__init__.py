"""Data sets: the chapter's patterns, scikit-learn's digits, MNIST, Fashion-MNIST, or your own.

data = ac.data.from_arrays(images, labels)   # your own, a fifth of them held out
data = ac.data.from_folder("pets")           # cat/1.jpg, dog/2.jpg, ...
data = ac.data.load("mnist")        # or patterns(), "digits", "fashion-mnist", a file, a folder
run = ac.train(params, data)
"""

from autocnn.data.arrays import from_arrays
from autocnn.data.dataset import Dataset
from autocnn.data.folders import UnreadableImages, from_folder
from autocnn.data.loaders import DifferentData, MissingData, load
from autocnn.data.patterns import patterns
from autocnn.data.scale import UnscaledImages

__all__ = [
    "Dataset",
    "DifferentData",
    "MissingData",
    "UnreadableImages",
    "UnscaledImages",
    "from_arrays",
    "from_folder",
    "load",
    "patterns",
]
