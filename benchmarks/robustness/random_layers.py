"""The layers of ``random_networks``, drawn at random."""

__all__ = ["draw_layers"]

ACTIVATIONS = ("relu", "relu", "tanh", "sigmoid", "relu6", "silu", "leaky_relu")
WORDS = ("conv", "conv", "conv", "activation", "activation", "max_pool", "avg_pool", "batch_norm",
         "local_response_norm", "dropout", "residual", "concat")  # fmt: skip


def draw_layers(draw, shape):
    """Return a list of (word, arguments) for images of ``shape``; some do not fit."""
    layers, channels = [], shape[0]
    for _ in range(draw.randint(1, 5)):
        layer, channels = draw_layer(draw, draw.choice(WORDS), channels)
        layers.append(layer)
    if draw.random() < 0.6:
        head = draw.choice(("flatten", "global_avg_pool"))
        layers += [(head, {}), ("dense", {"units": draw.randint(1, 4)})]
        if draw.random() < 0.3:
            layers += [(draw.choice(ACTIVATIONS), {}), ("dense", {"units": draw.randint(2, 9)})]
    return layers


def draw_layer(draw, word, channels):
    """Return ((word, arguments), channels of the output)."""
    match word:
        case "conv":
            groups = draw.choice([g for g in (1, 1, 1, 2, 3, channels) if channels % g == 0])
            filters = groups * draw.randint(1, 3)
            if draw.random() < 0.1:
                filters = 16 * groups  # where the fast interpretation has other algorithms
            options = {
                "kernel": (draw.randint(1, 4), draw.randint(1, 4)),
                "stride": (draw.randint(1, 3), draw.randint(1, 3)),
                "padding": (draw.randint(0, 2), draw.randint(0, 2)),
                "dilation": draw.choice((1, 1, 1, 2)),
            }
            if draw.random() < 0.3:
                options = {"kernel": 3, "stride": 1, "padding": 1, "dilation": 1}
            bias = draw.random() < 0.7
            return (
                "conv",
                {"filters": filters, "groups": groups, "bias": bias, **options},
            ), filters
        case "activation":
            return (draw.choice(ACTIVATIONS), {}), channels
        case "max_pool" | "avg_pool":
            size, stride = [(draw.randint(1, 3), draw.randint(1, 3)) for _ in range(2)]
            options = {"size": size, "stride": stride}
            if word == "max_pool" and draw.random() < 0.3:
                options["padding"] = tuple(n // 2 for n in size)
            return (word, options), channels
        case "batch_norm":
            return (word, {"eps": draw.choice((1e-5, 1e-2))}), channels
        case "local_response_norm":
            return (word, {"size": draw.randint(1, 5), "alpha": draw.choice((1e-4, 0.5))}), channels
        case "dropout":
            return (word, {"p": draw.choice((0.0, 0.3))}), channels
        case "residual":
            main, out = draw_path(draw, channels)
            plain = out == channels and draw.random() < 0.7
            shortcut = None if plain else [same_size(draw, 1, out)]
            return (word, {"main": main, "shortcut": shortcut}), out
        case "concat":
            paths = [draw_path(draw, channels) for _ in range(draw.randint(1, 3))]
            return (word, {"paths": [path for path, _ in paths]}), sum(n for _, n in paths)


def draw_path(draw, channels):
    """Return (layers, channels) of a path that keeps the image's size."""
    layers = []
    for _ in range(draw.randint(1, 3)):
        word = draw.choice(("conv", "conv", "activation", "batch_norm"))
        if word == "conv":
            channels = draw.choice((channels, draw.randint(1, 6)))
            layers.append(same_size(draw, draw.choice((1, 3, 5)), channels))
        else:
            layers.append(draw_layer(draw, word, channels)[0])
    return layers, channels


def same_size(draw, k, filters):
    """Return a convolution that keeps the image's size."""
    return "conv", {"filters": filters, "kernel": k, "padding": k // 2, "bias": draw.random() < 0.7}
