"""The chapter's two networks for 8x8 pictures."""

from autocnn import layers

__all__ = ["tiny_cnn", "tiny_mlp"]


def tiny_cnn(classes=3, filters=3, kernel=3, stride=1, pool=2, dropout=0.0, nn=layers):
    """Build the chapter's TinyCNN: convolution, ReLU, max-pool, dense. For images (C, H, W); 114
    parameters on (1, 8, 8).

    ``pool=1`` (or None) leaves the pooling out, for instance beside ``stride=2``; ``dropout`` is
    the share dropped before the dense layer.
    """
    return nn.serial(
        nn.conv(filters, kernel, stride=stride),
        nn.relu(),
        *([nn.max_pool(pool)] if pool not in (None, 1) else []),
        nn.flatten(),
        *([nn.dropout(dropout)] if dropout else []),
        nn.dense(classes),
    )


def tiny_mlp(classes=3, hidden=18, nn=layers):
    """Build the chapter's TinyMLP: one hidden layer of ``hidden`` ReLU units. 1227 parameters on
    (1, 8, 8).
    """
    return nn.serial(nn.flatten(), nn.dense(hidden), nn.relu(), nn.dense(classes))
