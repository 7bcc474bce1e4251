"""Time and memory of ``autocnn.fast`` beside torch and jax, as ratios within one run: a table, and
a figure.

    python -m benchmarks.speed.against_torch [--only TinyCNN LeNet ...] [--repeats 7]
        [--figure FILE, or '' for none]

Engines take turns within each repeat, so that a slow minute of the machine meets all of them. A
turn of quick work is several calls of it. Reported are medians; the ratio is ours to the better of
torch with 1 and with 2 threads, with the quartiles of the ratios of single repeats. Each work's
outputs are compared with those of double precision before anything is measured. Peak memory is that
of a process of its own, libraries included.

On a machine that others use as well, ``--busy`` gives all engines one thread and counts processor
time instead.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

import numpy as np

from autocnn import fast
from benchmarks.speed import engine_chapter
from benchmarks.speed.engines import HAS_JAX, PLAIN, WORKS, check, engines, gigaflops, in_double
from benchmarks.speed.figure import figure

FIGURE = "benchmarks/figures/against_torch.png"
TURN, PAUSE = 0.1, 0.2  # seconds; OpenBLAS's threads stay awake for more than 0.1

busy = False


def take_turns(functions, repeats, clock=None):
    """Time each function in turn, once a repeat. Returns {name: seconds a call (repeats,)}.

    A turn is as many calls as make up ``TURN``, after a pause: threads that have nothing left to do
    stay awake for a while, and those of one engine would take their time from the next.
    """
    clock = clock or (time.process_time if busy else time.perf_counter)
    if busy:
        functions = {
            name: f
            for name, f in functions.items()
            if "2 threads" not in name and "jax" not in name
        }
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


def ratio(seconds, ours="ours"):
    """Return (ratio of medians, lower and upper quartile of single ratios) of ours to the better
    torch.
    """
    best = min((k for k in seconds if k.startswith("torch")), key=lambda k: np.median(seconds[k]))
    quartiles = np.percentile(seconds[ours] / seconds[best], [25, 75])
    return np.median(seconds[ours]) / np.median(seconds[best]), *quartiles


def chapter(repeats):
    """The run of TinyCNN, warm."""
    functions = {
        "ours": engine_chapter.ours,
        "torch, 1 thread": lambda: engine_chapter.in_torch(1),
        "torch, 2 threads": lambda: engine_chapter.in_torch(2),
    }
    if HAS_JAX:
        functions["jax, a step at a time"], functions["jax"] = (
            engine_chapter.in_jax(False),
            engine_chapter.in_jax(True),
        )
    losses = {name: f() for name, f in functions.items() if not busy or "2 threads" not in name}
    spread = max(losses.values()) - min(losses.values())
    if not spread < 0.02:  # ties: torch and jax may give the gradient to another of equal maxima
        raise AssertionError(f"the engines end at different losses: {losses}")
    return take_turns(functions, repeats)


def processes(repeats):
    """The same as a whole process each: seconds, imports included."""

    def run(engine):
        def process():
            _process([sys.executable, "-m", "benchmarks.speed.engine_chapter", engine])

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
    env = (
        os.environ
        | {"PYTHONWARNINGS": "ignore"}
        | ({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} if busy else {})
    )
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def _memory(work):
    """Peak memory of ours and of torch, each in a process of its own."""
    ours, torch = (
        float(_process([sys.executable, "-m", "benchmarks.speed.memory", work, e]))
        for e in ("ours", "torch")
    )
    return f"{ours:.0f} / {torch:.0f} MB = {ours / torch:.2f}"


def matrix_limit(n=3072):
    """GFLOP/s of one large float32 product: the most that this machine multiplies."""
    a = np.random.default_rng(0).normal(size=(n, n)).astype("float32")
    return 2 * n**3 / take_turns({"": lambda: a @ a}, 9)[""].min() / 1e9


def table(rows):
    """Format rows as Markdown."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(name, seconds, goal, memory="", share="", ours="ours"):
    r, low, high = ratio(seconds, ours)
    best = min(np.median(v) for k, v in seconds.items() if k.startswith("torch"))
    jax = f"{np.median(seconds['jax']):.3g} s" if "jax" in seconds else ""
    times = [f"{np.median(seconds[ours]):.3g} s", f"{best:.3g} s", jax]
    return [name, *times, f"{r:.2f} ({low:.2f}-{high:.2f})", f"{goal:g}", memory, share]


def measure(only, repeats, memory=True):
    """Measure everything, print each row as soon as it is known, and return the table."""
    rows = [
        [
            "work",
            "ours",
            "torch",
            "jax",
            "ours / torch (quartiles)",
            "goal",
            "peak memory, ours / torch",
            "share of limit",
        ]
    ]
    wanted = [
        w
        for w in ("TinyCNN, 80 epochs", "TinyCNN, whole process", *WORKS)
        if not only or any(o in w for o in only)
    ]
    limit = matrix_limit()
    print(f"one matrix product: {limit:.0f} GFLOP/s on {fast.threads()} threads", flush=True)
    for name in wanted:
        if name == "TinyCNN, 80 epochs":
            row = _row(name, chapter(repeats), 0.7, _memory(name) if memory else "")
        elif name == "TinyCNN, whole process":
            row = _row(name, processes(repeats), 0.2)
        else:
            network, kind, n, size, goal = WORKS[name]
            functions = engines(network, kind, n, size)
            outputs = {
                engine: f()
                for engine, f in functions.items()
                if not busy or engine != "torch, 2 threads"
            }
            check(outputs, in_double(network, kind, n, size), name)
            del outputs
            seconds = take_turns(functions, repeats)
            del functions
            reached = gigaflops(network, kind, n, size) / np.median(seconds["ours"]) / limit
            row = _row(
                name, seconds, goal, _memory(name) if memory else "", f"{100 * reached:.0f} %"
            )
        rows.append(row)
        print(" | ".join(row), flush=True)
        if name in WORKS and PLAIN in seconds:
            rows.append(_row(f"{name}, {PLAIN}", seconds, 2.5, ours=PLAIN))
            print(" | ".join(rows[-1]), flush=True)
    return table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", nargs="*", default=[], help="works whose name contains one of these"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--busy", action="store_true", help="one thread each, processor time")
    parser.add_argument("--figure", default=FIGURE, help="write the figure here; '' for none")
    options = parser.parse_args()
    if options.busy:
        global busy
        busy = True
        fast.threads(1)
    print("\n" + measure(options.only, options.repeats, not options.no_memory))
    if options.figure and not options.only:
        figure(options.figure, options.repeats, take_turns, matrix_limit())


if __name__ == "__main__":
    main()
