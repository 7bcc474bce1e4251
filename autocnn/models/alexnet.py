"""AlexNet: Krizhevsky et al. 2012 exactly, and its one-tower successor of 2014."""

from autocnn import layers
from autocnn.models.width import scaled

__all__ = ["alexnet"]


def alexnet(classes=1000, width=1.0, towers=2, dropout=0.5, stem=None, nn=layers):
    """Build AlexNet. ``towers=2``, for images (3, 227, 227): 60,965,224 parameters; feature maps of
    55, 27, 13, 6.

    Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural
    networks, section 3. Two towers, on a graphics card each, are two groups in convolutions 2, 4
    and 5. (The paper says 224x224; its 55x55 maps need 227.) Their response normalisation does not
    divide alpha = 1e-4 by n = 5, so that ours is 5e-4.

    ``towers=1``, for images (3, 224, 224): 61,100,840 parameters, no groups and no response
    normalisation, the network of Krizhevsky 2014, One weird trick for parallelizing convolutional
    neural networks, that torchvision ships.

    ``width`` or ``stem`` scales it: see ``models.width``. Initial weights follow this project's rule N(0, 2 /
    fan_in) with biases 0; the paper drew N(0, 0.01^2) and set the biases of convolutions 2, 4, 5
    and the hidden dense layers to 1.
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
