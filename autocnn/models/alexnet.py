"""AlexNet: the network of Krizhevsky et al. 2012, and its successor of 2014 without groups."""

from types import ModuleType

from autocnn import layers
from autocnn.models.width import scaled
from reference.layer import Layer

__all__ = ["alexnet"]


def alexnet(
    classes: int = 1000,
    width: float = 1.0,
    towers: int = 2,
    dropout: float = 0.5,
    stem: int | None = None,
    nn: ModuleType = layers,
) -> Layer:
    """Build AlexNet, of 2012 (``towers=2``) or of 2014 (``towers=1``).

    ``towers=2``, for images (3, 227, 227): 60,965,224 parameters; feature maps of 55, 27, 13, 6.
    Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural
    networks, section 3. Its two towers, one for each graphics card, are two groups in convolutions
    2, 4 and 5. (The paper says 224x224; its 55x55 maps need 227.) Its local response normalisation
    does not divide alpha = 1e-4 by n = 5, as ``local_response_norm`` does: alpha here is 5e-4.

    ``towers=1``, for images (3, 224, 224): 61,100,840 parameters, without groups and without
    response normalisation. Krizhevsky 2014, One weird trick for parallelizing convolutional neural
    networks; this is the network that torchvision ships.

    width, stem: scale the channels; see ``models.width``.
    dropout: the dropout probability before (2014) or after (2012) the two hidden dense layers.
    nn: the interpretation: ``autocnn.layers``, ``autocnn.fast`` or ``reference``.

    Initial weights are drawn from N(0, 2 / fan_in) with biases 0, as everywhere in this package;
    the paper draws from N(0, 0.01^2) and sets the biases of convolutions 2, 4, 5 and of the hidden
    dense layers to 1. Raises ValueError for other numbers of towers.
    """
    if towers not in (1, 2):
        raise ValueError(f"alexnet: towers is 2 (2012) or 1 (2014); got {towers!r}")
    return (_alexnet_2012 if towers == 2 else _alexnet_2014)(classes, width, stem, dropout, nn)


def _alexnet_2012(classes, width, stem, dropout, nn):
    channels = scaled(width, stem, 96)

    def conv(filters, kernel, **options):
        return nn.conv(channels(filters, groups=2), kernel, **options), nn.relu()

    def normalised_and_pooled():
        return nn.local_response_norm(5, alpha=5 * 1e-4, beta=0.75, k=2.0), nn.max_pool(3, 2)

    return nn.serial(
        *conv(96, 11, stride=4), *normalised_and_pooled(),
        *conv(256, 5, padding=2, groups=2), *normalised_and_pooled(),
        *conv(384, 3, padding=1),
        *conv(384, 3, padding=1, groups=2),
        *conv(256, 3, padding=1, groups=2), nn.max_pool(3, 2),
        nn.flatten(),
        nn.dense(channels(4096)), nn.relu(), nn.dropout(dropout),
        nn.dense(channels(4096)), nn.relu(), nn.dropout(dropout),
        nn.dense(classes),
    )  # fmt: skip


def _alexnet_2014(classes, width, stem, dropout, nn):
    channels = scaled(width, stem, 64)

    def conv(filters, kernel, **options):
        return nn.conv(channels(filters), kernel, **options), nn.relu()

    return nn.serial(
        *conv(64, 11, stride=4, padding=2), nn.max_pool(3, 2),
        *conv(192, 5, padding=2), nn.max_pool(3, 2),
        *conv(384, 3, padding=1),
        *conv(256, 3, padding=1),
        *conv(256, 3, padding=1), nn.max_pool(3, 2),
        nn.flatten(),  # torchvision averages to 6 x 6 here, which at 224 is the identity
        nn.dropout(dropout), nn.dense(channels(4096)), nn.relu(),
        nn.dropout(dropout), nn.dense(channels(4096)), nn.relu(),
        nn.dense(classes),
    )  # fmt: skip
