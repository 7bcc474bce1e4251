"""autocnn.fast beside torch, torch.compile, jax, onnxruntime and OpenVINO.

    python -m benchmarks.speed.engines [--works WORD ...] [--engines WORD ...] [--rounds 7] [--keep]

Each engine does a work alone in a process of its own, since threads that wait for more spin and
take cores: in one process the same works measure up to twice as slow. In each round every engine
has a turn, while the processes of the others are stopped; a work of more than a minute gets three
rounds at least. Reported are medians, and the quartiles
of the ratios of single rounds. Results are first compared with those of double precision.

--keep puts the rows into ``benchmarks/figures/engines.json``, in place of earlier ones, and writes
the figure beside it and the tables of benchmarks/README.md from that file; --report only writes.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.speed import report
from benchmarks.speed.worker import ENGINES, USUAL, cores
from benchmarks.speed.works import WORKS

PACKAGES = ("numpy", "numba", "onednn-cpu-gomp", "torch", "jax", "onnxruntime", "openvino")
CACHES = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
CACHING = ("autocnn", "autocnn, Numba", "torch.compile")  # others start alike without a cache
LONG = 60  # seconds of rounds
PATIENCE = 900  # seconds for one answer, compilation included
OFF = 2e-4  # of the largest number: what logits and losses in single precision may be off


class Worker:
    """A process with one engine, which is stopped but in its turns. ``results`` are those of the
    work, ``first`` the seconds from the process's start until they were there.
    """

    def __init__(self, engine, folder, caches=None):
        env = dict(os.environ, PYTHONWARNINGS="ignore")
        if caches is not None:
            env.pop("JAX_COMPILATION_CACHE_DIR", None)
            env |= dict.fromkeys(CACHES, str(caches))
        command = [sys.executable, "-m", "benchmarks.speed.worker", engine, str(folder)]
        start = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        self.errors = Path(folder) / f"{engine}.txt"
        try:
            self.results = self.answer()["results"]
        except BaseException:
            self.end()
            raise
        self.first = time.perf_counter() - start

    def answer(self):
        """Return the worker's next line; RuntimeError with what it said where there is none."""
        patience = threading.Timer(PATIENCE, self.process.kill)
        patience.start()
        try:
            line = self.process.stdout.readline()
        finally:
            patience.cancel()
        if line:
            return json.loads(line)
        said = self.errors.read_text().strip().splitlines() if self.errors.exists() else []
        raise RuntimeError(said[-1][:200] if said else "no answer")

    def warm(self):
        """Wait until the worker is warm, and stop it."""
        self.answer()
        self.process.send_signal(signal.SIGSTOP)

    def turn(self):
        """Let the worker run for one turn. Returns seconds a call."""
        self.process.send_signal(signal.SIGCONT)
        print(file=self.process.stdin, flush=True)
        seconds = self.answer()["seconds"]
        self.process.send_signal(signal.SIGSTOP)
        return seconds

    def peak(self):
        """End the worker, and return its most memory in MB."""
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        return self.answer()["peak_mb"]

    def end(self):
        """Leave nothing behind."""
        self.process.kill()
        with contextlib.suppress(BrokenPipeError), self.process:
            pass  # closes the pipes, and waits


def unavailable(name, kind):
    """Return why an engine cannot do works of a kind here, or None."""
    if ENGINES[name][0] == "in_runtimes" and kind != "forward":
        return "only predicts"
    if name == "autocnn, Numba" and kind == "run":
        return "not measured: these kernels are for larger networks"
    if name == "torch.compile":
        if kind == "run":
            return "not measured: it compiles the step, not the run"
        if not shutil.which(os.environ.get("CXX", "g++")):
            return "needs g++"
    missing = [p for p in ENGINES[name][2] if importlib.util.find_spec(p) is None]
    return f"{missing[0]} is not installed" if missing else None


def usual(work):
    """Return the engines that are measured unless others are named."""
    is_small = work.network in ("tiny_cnn", "lenet5")  # large networks take NumPy long
    return [e for e in USUAL if is_small or e != "autocnn, NumPy"]


def measure(name, engines, rounds, cold=True):
    """Measure a work. Returns its row: {"engines": {engine: {...}}, "skipped": {engine: why}}.

    cold: whether to measure first answers without caches, of the works that are to have it.
    """
    work, skipped = WORKS[name], {e: unavailable(e, WORKS[name].kind) for e in engines}
    busy, start, running, found = _busy(), time.perf_counter(), {}, {}

    def attempt(engine, act):
        """Return what ``act()`` does; where the engine fails, note why and go on without it."""
        try:
            return act()
        except RuntimeError as error:
            skipped[engine] = f"failed: {error}"
            if engine in running:
                running.pop(engine).end()

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.speed.works", json.dumps(work), folder]
        exact = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        try:
            for engine in (e for e in engines if not skipped[e]):
                one = attempt(engine, lambda engine=engine: Worker(engine, folder))
                if one is not None:
                    running[engine] = one
                    found[engine] = {"seconds": [], "first": one.first, "off": _off(one, exact)}
                    attempt(engine, one.warm)
            begin = time.perf_counter()
            for i in range(rounds):
                if i >= 3 and time.perf_counter() - begin > LONG:
                    break
                names = list(running)
                for engine in names[i % len(names) :] + names[: i % len(names)] if names else ():
                    seconds = attempt(engine, running[engine].turn)
                    found[engine]["seconds"].append(seconds)
            for engine, one in list(running.items()):
                found[engine]["peak_mb"] = attempt(engine, one.peak)
        finally:
            for one in running.values():
                one.end()
        for engine in [e for e in running if e in CACHING and work.cold and cold]:
            with tempfile.TemporaryDirectory() as caches:
                one = attempt(engine, lambda e=engine, c=caches: Worker(e, folder, c))
                if one is not None:
                    one.end()
                    found[engine]["cold"] = one.first
    found = {engine: found[engine] for engine in running}
    for one in found.values():
        one["wrong"] = _wrong(work, one["off"], found.get("torch", {}).get("off"))
    used, spent = np.subtract(_busy(), busy), time.perf_counter() - start
    others = max(0.0, (used[0] - used[1]) / spent / cores())
    skipped = {engine: why for engine, why in skipped.items() if why}
    return {"engines": found, "skipped": skipped, "others": others, "took": spent}


def _off(worker, exact):
    """Return how far each result is from double precision, in parts of its largest number."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(worker.results, exact, strict=True)]
    return [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs]


def _wrong(work, off, torch):
    """Whether an engine's results are further off than rounding takes them; torch: how far its are.

    In a run, torch and jax give the gradient to another of equal maxima, so losses may differ by
    1 %. In a gradient, rounding decides for some maxima and some ReLUs, and batch norm amplifies
    it, so that it may be off by a percent in any engine, but not by more than four times torch's.
    """
    first, *rest = off
    allowed = max(1e-4, 4 * torch[-1]) if torch else 0.04
    return not first <= (0.01 if work.kind == "run" else OFF) or not all(r <= allowed for r in rest)


def _busy():
    """Return seconds of processor time of the whole machine, and of this process and its children
    that have ended; both 0 where the system does not tell.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0, 0.0
    user, nice, system, _, _, irq, softirq = map(int, stat.read_text().split()[1:8])
    total = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return total, sum(one.ru_utime + one.ru_stime for one in ours)


def machine():
    """Return which machine this is: processor, cores, system, and versions of the packages."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    versions = {"Python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    processor = found[1] if found else platform.processor()
    about = {"processor": processor, "cores": cores(), "system": platform.system()}
    return about | {"versions": versions}


def chosen(names, words):
    """Return the names that a word is or, of words that are no name, is a part of; all without
    words. ValueError for a word that is in none.
    """
    found = set() if words else set(names)
    for word in words:
        some = [n for n in names if n == word] or [n for n in names if word.lower() in n.lower()]
        if not some:
            raise ValueError(f"none of {', '.join(names)} contains {word!r}")
        found |= set(some)
    return [name for name in names if name in found]


def main(arguments=None):
    """Measure, print each row as soon as it is known, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--works", nargs="*", default=[], help="whose names contain one of these")
    parser.add_argument(
        "--engines", nargs="*", default=[], help="the same; autograd and reference too"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-cold", action="store_true", help="no first answers without caches")
    parser.add_argument("--keep", action="store_true", help="write the tables and the figure")
    parser.add_argument("--report", action="store_true", help="write them from what was kept, only")
    parser.add_argument("--json", type=Path, default=report.JSON, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.keep and options.engines:
        parser.error("--keep needs all engines: ratios are those of one run")
    try:
        works = chosen(WORKS, options.works)
        engines = chosen(ENGINES, options.engines)
    except ValueError as error:
        parser.error(str(error))
    kept = json.loads(options.json.read_text()) if options.json.exists() else {}
    here, wrong = machine(), False
    print(report.machine_text(here), flush=True)
    for name in [] if options.report else works:
        some = engines if options.engines else usual(WORKS[name])
        row = measure(name, some, options.rounds, not options.no_cold)
        row |= {"machine": here, "date": time.strftime("%Y-%m-%d")}
        wrong |= any(one["wrong"] for one in row["engines"].values())
        print(f"\n{report.text(name, row)}", flush=True)
        kept[name] = row
        if options.keep:
            options.json.write_text(json.dumps({n: kept[n] for n in WORKS if n in kept}, indent=1))
    if options.keep or options.report:
        report.write({n: kept[n] for n in WORKS if n in kept}, options.json)
    return int(wrong)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stopped workers would stay for ever
    sys.exit(main())
