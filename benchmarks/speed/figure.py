"""The figure of ``benchmarks.speed.against_torch``: time against batch size and image size, for
autocnn and torch.
"""

import numpy as np

from benchmarks.speed.engines import PLAIN, engines, gigaflops


def figure(path, repeats, take_turns, limit):
    """Draw time against batch size and image size, and the share that is reached of ``limit``, a
    matrix product's GFLOP/s.

    ``take_turns(functions, repeats)`` returns {name: seconds (repeats,)}.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sweeps = {
        "LeNet-5, training step": (
            "LeNet-5",
            "gradient",
            [(n, 28) for n in (8, 16, 32, 64, 128, 256)],
        ),
        "ResNet-50, forward": ("ResNet-50", "forward", [(n, 128) for n in (1, 2, 4, 8)]),
        "ResNet-50, 4 images forward": (
            "ResNet-50",
            "forward",
            [(4, s) for s in (64, 96, 128, 160, 224)],
        ),
    }
    fig, axes = plt.subplots(
        2, 3, figsize=(12, 6.4), sharex="col", height_ratios=(2, 1), layout="constrained"
    )
    for (title, (network, kind, points)), top, below in zip(sweeps.items(), *axes, strict=True):
        by_size = len({size for _, size in points}) > 1
        lines = {}
        for n, size in points:
            functions = engines(network, kind, n, size, jax=False)
            functions.pop(PLAIN, None)
            seconds = take_turns(functions, repeats)
            flops = gigaflops(network, kind, n, size)
            torch = min(np.median(v) for k, v in seconds.items() if k.startswith("torch"))
            for engine, value in (
                ("autocnn.fast", np.median(seconds["ours"])),
                ("torch, best of 1 and 2 threads", torch),
            ):
                lines.setdefault(engine, []).append(
                    (size if by_size else n, value, 100 * flops / value / limit)
                )
        for (engine, values), style in zip(lines.items(), ("o-", "s--"), strict=True):
            x, t, share = zip(*values, strict=True)
            top.loglog(x, [1e3 * v for v in t], style, label=engine)
            below.semilogx(x, share, style)
        top.set(title=title)
        top.grid(alpha=0.3, which="both")
        below.grid(alpha=0.3)
        below.set(xlabel="image size" if by_size else "images in a batch", ylim=(0, None))
        below.set_xticks(x, [str(v) for v in x])
        below.minorticks_off()
    axes[0, 0].set_ylabel("milliseconds")
    axes[1, 0].set_ylabel(f"% of one matrix product\n({limit:.0f} GFLOP/s)")
    axes[0, 0].legend()
    fig.savefig(path, dpi=130)
