"""The chapter's two networks for 8x8 images."""

from types import ModuleType

from autocnn import layers
from reference.layer import Layer

__all__ = ["tiny_cnn", "tiny_mlp"]


def tiny_cnn(
    classes: int = 3,
    filters: int = 3,
    kernel: int = 3,
    stride: int = 1,
    pool: int | None = 2,
    dropout: float = 0.0,
    nn: ModuleType = layers,
) -> Layer:
    """Build the chapter's TinyCNN: convolution, ReLU, max-pooling and a dense layer.

    For images (C, H, W); 114 parameters for (1, 8, 8).

    pool: the size of the pooling windows; 1 or None for no pooling, as with ``stride=2``.
    dropout: the dropout probability before the dense layer.
    nn: the interpretation: ``autocnn.layers``, ``autocnn.fast`` or ``reference``.
    """
    return nn.serial(
        nn.conv(filters, kernel, stride=stride),
        nn.relu(),
        *([nn.max_pool(pool)] if pool not in (None, 1) else []),
        nn.flatten(),
        *([nn.dropout(dropout)] if dropout else []),
        nn.dense(classes),
    )


def tiny_mlp(classes: int = 3, hidden: int = 18, nn: ModuleType = layers) -> Layer:
    """Build the chapter's TinyMLP: one hidden layer of ``hidden`` ReLU units.

    For inputs of any shape; 1,227 parameters for (1, 8, 8). nn: the interpretation, as in
    ``tiny_cnn``.
    """
    return nn.serial(nn.flatten(), nn.dense(hidden), nn.relu(), nn.dense(classes))
