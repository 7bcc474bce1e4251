"""Time and memory of ``autocnn.fast`` beside torch and jax, as ratios within one run: a table, and a picture.

    python -m benchmarks.against_torch [--only TinyCNN LeNet ...] [--repeats 7] [--figure benchmarks/pictures/against_torch.png]

Engines take turns within each repeat, so that a slow minute of the machine meets all of them. A turn of quick work is
several calls of it. Reported are medians; the
ratio is ours to the better of torch with 1 and with 2 threads, with the quartiles of the ratios of single repeats. Each
work's outputs are compared before anything is measured. Peak memory is that of a process of its own, libraries included.

On a machine that others use as well, ``--busy`` gives all engines one thread and counts processor time instead.
"""

import argparse
import importlib.util
import os
import resource
import subprocess
import sys
import time

import numpy as np

import autocnn as ac
from autocnn import fast
from benchmarks import fast_chapter
from benchmarks.fast_networks import batch, build, in_jax, in_torch

TURN, PAUSE = 0.1, 0.05  # seconds

busy = False
HAS_JAX = importlib.util.find_spec("jax") is not None

# name: network, "forward" or "gradient", images, size, goal
WORKS = {
    "LeNet-5 step, 32 images": ("LeNet-5", "gradient", 32, 28, 1.0),
    "LeNet-5 step, 128 images": ("LeNet-5", "gradient", 128, 28, 1.0),
    "VGG-16 forward, 1 image": ("VGG-16", "forward", 1, 224, 1.0),
    "VGG-16 forward, 4 images": ("VGG-16", "forward", 4, 224, 1.0),
    "ResNet-50 forward, 4 images of 224": ("ResNet-50", "forward", 4, 224, 1.0),
    "ResNet-50 gradient, 8 images of 96": ("ResNet-50", "gradient", 8, 96, 1.2),
    "ResNet-50 gradient, 8 images of 224": ("ResNet-50", "gradient", 8, 224, 1.2),
    "VGG-16 gradient, 2 images of 224": ("VGG-16", "gradient", 2, 224, 1.2),
}


def engines(network, kind, n, size, jax=HAS_JAX):
    """Return {engine: function that does the work and returns an array}, all with the same weights and images."""
    import torch

    model, params, state, shape = build(network, size)
    classes = model.init(None, shape)[0][0]
    x, labels = batch(shape, n, classes)
    theirs = in_torch(model, params, state, shape).train(kind == "gradient")
    x_t, labels_t = torch.from_numpy(x), torch.from_numpy(labels)

    def ours():
        if kind == "forward":
            return model.apply(params, state, x)[0]
        loss, grads, _ = model.loss_and_grad(params, state, (x, labels))
        return loss, next(leaf for _, leaf in ac.trees.leaves(grads))

    def torch_with(threads):
        def run():
            torch.set_num_threads(threads)
            if kind == "forward":
                with torch.no_grad():
                    return theirs(x_t).numpy()
            theirs.zero_grad()
            loss = torch.nn.functional.cross_entropy(theirs(x_t), labels_t)
            loss.backward()
            return loss.item(), next(theirs.parameters()).grad.numpy()

        return run

    found = {"ours": ours, "torch, 1 thread": torch_with(1), "torch, 2 threads": torch_with(2)}
    if jax:
        found["jax"] = _jax_engine(model, params, state, x, labels, kind)
    return found


def _jax_engine(model, params, state, x, labels, kind):
    import jax
    import jax.numpy as jnp

    forward = in_jax(model)

    def loss(p, x):
        logits = forward(p, state, x, True)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    step = jax.jit(jax.value_and_grad(loss)) if kind == "gradient" else jax.jit(lambda p, x: forward(p, state, x))

    def run():
        out = jax.block_until_ready(step(params, x))
        if kind == "forward":
            return np.asarray(out)
        return float(out[0]), np.asarray(jax.tree.leaves(out[1][0])[-1])

    return run


def check(outputs, name):
    """Compare outputs with ours: logits, or the loss (a first gradient is compared where no batch norm amplifies rounding)."""
    ours = outputs["ours"]
    for engine, theirs in outputs.items():
        a, b = (ours, theirs) if isinstance(ours, np.ndarray) else (np.array(ours[0]), np.array(theirs[0]))
        error = np.abs(a - b).max() / np.abs(b).max()
        if not error < 2e-4:
            raise AssertionError(f"{name}: ours and {engine} differ by {error:.1e} of the largest output")


def take_turns(functions, repeats, clock=None):
    """Time each function in turn, once a repeat. Returns {name: seconds a call (repeats,)}.

    A turn is as many calls as make up ``TURN``, after a pause: threads that have nothing left to do stay awake for a while, and
    those of one engine would take their time from the next.
    """
    clock = clock or (time.process_time if busy else time.perf_counter)
    if busy:
        functions = {name: f for name, f in functions.items() if "2 threads" not in name and "jax" not in name}
    calls = {}
    for name, f in functions.items():
        f()
        start = time.perf_counter()
        f()
        calls[name] = max(1, round(TURN / (time.perf_counter() - start)))
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, f in functions.items():
            time.sleep(PAUSE)
            start = clock()
            for _ in range(calls[name]):
                f()
            seconds[name].append((clock() - start) / calls[name])
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(seconds):
    """Return (ratio of medians, lower and upper quartile of single ratios) of ours to the better torch."""
    best = min((k for k in seconds if k.startswith("torch")), key=lambda k: np.median(seconds[k]))
    quartiles = np.percentile(seconds["ours"] / seconds[best], [25, 75])
    return np.median(seconds["ours"]) / np.median(seconds[best]), *quartiles


def chapter(repeats):
    """The run of TinyCNN, warm."""
    functions = {
        "ours": fast_chapter.ours,
        "torch, 1 thread": lambda: fast_chapter.in_torch(1),
        "torch, 2 threads": lambda: fast_chapter.in_torch(2),
    }
    if HAS_JAX:
        functions["jax, a step at a time"], functions["jax"] = fast_chapter.in_jax(False), fast_chapter.in_jax(True)
    losses = {name: f() for name, f in functions.items() if not busy or "2 threads" not in name}
    spread = max(losses.values()) - min(losses.values())
    if not spread < 0.02:  # ties: torch and jax may give the gradient to another of equal maxima
        raise AssertionError(f"the engines end at different losses: {losses}")
    return take_turns(functions, repeats)


def processes(repeats):
    """The same as a whole process each: seconds, imports included."""

    def run(engine):
        def process():
            _process([sys.executable, "-m", "benchmarks.fast_chapter", engine])

        return process

    functions = {"ours": run("ours"), "torch": run("torch")}
    if HAS_JAX:
        functions["jax"] = run("jax")
    return take_turns(functions, repeats, _children if busy else None)


def _children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _process(command):
    """Run a process; return what it printed."""
    env = os.environ | {"PYTHONWARNINGS": "ignore"} | ({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} if busy else {})
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def peak(work, engine):
    """Peak memory in MB of a process that does the work twice."""
    return float(_process([sys.executable, "-m", "benchmarks.against_torch", "--peak", work, engine]).split()[-1])


def _print_peak(work, engine):
    network, kind, n, size, _ = WORKS[work]
    f = engines(network, kind, n, size, jax=engine == "jax")[engine]
    for _ in range(2):
        f()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def matrix_limit(n=3072):
    """GFLOP/s of one large float32 product: the most that this machine multiplies."""
    a = np.random.default_rng(0).normal(size=(n, n)).astype("float32")
    return 2 * n**3 / np.median(take_turns({"": lambda: a @ a}, 5)[""]) / 1e9


def gigaflops(network, kind, n, size):
    """Twice the multiply-adds, three times as many for a gradient."""
    model, _, _, shape = build(network, size)
    return 2 * ac.summary(model, shape).multiply_adds * n * (3 if kind == "gradient" else 1) / 1e9


def table(rows):
    """Format rows as Markdown."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(name, seconds, goal, memory="", share=""):
    r, low, high = ratio(seconds)
    best = min(np.median(v) for k, v in seconds.items() if k.startswith("torch"))
    jax = f"{np.median(seconds['jax']):.3g} s" if "jax" in seconds else ""
    ours = f"{np.median(seconds['ours']):.3g} s"
    return [name, ours, f"{best:.3g} s", jax, f"{r:.2f} ({low:.2f}-{high:.2f})", f"{goal:g}", memory, share]


def measure(only, repeats, memory=True):
    """Measure everything, print each row as soon as it is known, and return the table."""
    rows = [["work", "ours", "torch", "jax", "ours / torch (quartiles)", "goal", "peak memory, ours / torch", "share of limit"]]
    wanted = [w for w in ("TinyCNN, 80 epochs", "TinyCNN, whole process", *WORKS) if not only or any(o in w for o in only)]
    limit = matrix_limit()
    print(f"one matrix product: {limit:.0f} GFLOP/s on {fast.threads()} threads", flush=True)
    for name in wanted:
        if name == "TinyCNN, 80 epochs":
            row = _row(name, chapter(repeats), 0.7)
        elif name == "TinyCNN, whole process":
            row = _row(name, processes(repeats), 0.2)
        else:
            network, kind, n, size, goal = WORKS[name]
            functions = engines(network, kind, n, size)
            check({engine: f() for engine, f in functions.items() if not busy or engine != "torch, 2 threads"}, name)
            seconds = take_turns(functions, repeats)
            del functions
            reached = gigaflops(network, kind, n, size) / np.median(seconds["ours"]) / limit
            used = ""
            if memory:
                ours, torch = peak(name, "ours"), peak(name, "torch, 2 threads")
                used = f"{ours:.0f} / {torch:.0f} MB = {ours / torch:.2f}"
            row = _row(name, seconds, goal, used, f"{100 * reached:.0f} %")
        rows.append(row)
        print(" | ".join(row), flush=True)
    return table(rows)


def figure(path, repeats):
    """Draw time against batch size and image size, and the share of the matrix product's speed that is reached."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    limit = matrix_limit()
    sweeps = {
        "LeNet-5, training step": ("LeNet-5", "gradient", [(n, 28) for n in (8, 16, 32, 64, 128, 256)]),
        "ResNet-50, forward": ("ResNet-50", "forward", [(n, 128) for n in (1, 2, 4, 8)]),
        "ResNet-50, 4 images forward": ("ResNet-50", "forward", [(4, s) for s in (64, 96, 128, 160, 224)]),
    }
    picture, axes = plt.subplots(2, 3, figsize=(12, 6.4), sharex="col", height_ratios=(2, 1), layout="constrained")
    for (title, (network, kind, points)), top, below in zip(sweeps.items(), *axes, strict=True):
        by_size = len({size for _, size in points}) > 1
        lines = {}
        for n, size in points:
            seconds = take_turns(engines(network, kind, n, size, jax=False), repeats)
            flops = gigaflops(network, kind, n, size)
            torch = min(np.median(v) for k, v in seconds.items() if k != "ours")
            for engine, value in (("autocnn.fast", np.median(seconds["ours"])), ("torch, best of 1 and 2 threads", torch)):
                lines.setdefault(engine, []).append((size if by_size else n, value, 100 * flops / value / limit))
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
    picture.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], help="works whose name contains one of these")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--busy", action="store_true", help="one thread each, processor time")
    parser.add_argument("--figure", help="write the picture here")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        return _print_peak(*options.peak)
    if options.busy:
        global busy
        busy = True
        fast.threads(1)
    print("\n" + measure(options.only, options.repeats, not options.no_memory))
    if options.figure:
        figure(options.figure, options.repeats)


if __name__ == "__main__":
    main()
