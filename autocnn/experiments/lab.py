"""The lab: runs of the chapter's networks and other measurements, each made once and kept."""

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from autocnn import models
from autocnn.data import Dataset, patterns
from autocnn.models.interpretations import interpretation
from autocnn.ops.arguments import integer
from autocnn.sweeps.pool import cores, run_all
from autocnn.sweeps.trial import single_threaded
from autocnn.training import ConvergenceWarning, train
from autocnn.trees import count, max_relative_difference

__all__ = [
    "CLASSES",
    "Compared",
    "Job",
    "Lab",
    "Network",
    "Outcome",
    "cnn",
    "cost",
    "fit",
    "images",
    "mlp",
]

CLASSES = ("vertical", "horizontal", "diagonal", "dot", "cross")
SHAPE = (1, 8, 8)
SEEDS = {"tiny_cnn": (3, 11), "tiny_mlp": (5, 13)}  # the chapter's: initial weights, shuffling


class Network(NamedTuple):
    """A network by the name of its builder in ``autocnn.models`` and its options, hashable."""

    builder: str
    options: tuple[tuple[str, Any], ...]

    def build(self, nn: ModuleType) -> Any:
        """Return the model in the interpretation ``nn``."""
        return getattr(models, self.builder)(**dict(self.options), nn=nn)

    def __str__(self) -> str:
        return f"{self.builder}({', '.join(f'{name}={value}' for name, value in self.options)})"


def cnn(classes: int = 3, filters: int = 3, **options: Any) -> Network:
    """Name a TinyCNN; ``options`` as for ``autocnn.models.tiny_cnn``."""
    options = {"classes": classes, "filters": filters, **options}
    return Network("tiny_cnn", tuple(options.items()))


def mlp(classes: int = 3, hidden: int = 18) -> Network:
    """Name a TinyMLP."""
    return Network("tiny_mlp", (("classes", classes), ("hidden", hidden)))


class Compared:
    """A model that computes every gradient in two interpretations and returns that of the first.

    gradients: how many were compared. largest: the largest relative difference of a leaf so far,
    see ``autocnn.trees.max_relative_difference``. In all else it is the first model.
    """

    def __init__(self, model: Any, other: Any):
        """Compare ``model`` with ``other``, the same network in another interpretation."""
        self.model, self.other = model, other
        self.gradients, self.largest = 0, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def loss_and_grad(
        self, params: Any, state: Any, batch: tuple, key: Any = None, train: bool = True
    ) -> tuple[Any, Any, Any]:
        """Return the first model's (loss, grads, state), as ``Layer.loss_and_grad`` does."""
        loss, grads, after = self.model.loss_and_grad(params, state, batch, key, train)
        _, others, _ = self.other.loss_and_grad(params, state, batch, key, train)
        found = max_relative_difference(grads, others)
        self.largest = float(np.maximum(self.largest, found))  # NaN stays NaN
        self.gradients += 1
        return loss, grads, after


class Outcome(NamedTuple):
    """What a run leaves: ``params, state, history, snapshots`` as in ``autocnn.training.Run``.

    gradients, largest: how many gradients were computed in two interpretations, and their largest
    relative difference; 0 for a run of one interpretation.
    """

    params: Any
    state: Any
    history: dict[str, list]
    snapshots: dict[int, np.ndarray]
    gradients: int = 0
    largest: float = 0.0


class Job(NamedTuple):
    """A pure function with its arguments, hashable, and a label for the progress bar."""

    label: str
    function: Callable[..., Any]
    arguments: tuple


@functools.lru_cache(maxsize=128)
def images(trial: int | None, classes: int = 3) -> Dataset:
    """Return the images of a repetition, or the chapter's for None, of the first classes."""
    # ``patterns`` draws from two plain seeds, s and s + 99: a thousand between trials keeps their
    # streams apart.
    seed = 7 if trial is None else 1000 * (trial + 1)
    return patterns(seed=seed, classes=CLASSES[:classes])


def train_network(network: Network, trial: int | None, engine: str, epochs: int = 80) -> Outcome:
    """Train a network as the chapter does, or for an int ``trial`` one of many repetitions.

    Repetitions share no random stream. Those of one trial see the same images whatever the network,
    so they can be compared in pairs. engine: "both" compares autograd's gradients with those by
    hand.
    """
    data = images(trial, dict(network.options)["classes"])
    return fit(network, trial, engine, epochs, data)


def fit(network: Network, trial: int | None, engine: str, epochs: int, data: Dataset) -> Outcome:
    """Train a network on ``data``, with the weights and the order of a repetition."""
    init_key, seed = SEEDS[network.builder]
    if trial is not None:
        init_key, seed = (init_key, trial), (seed, trial)
    names = ("autograd", "reference") if engine == "both" else (engine,)
    built = [network.build(interpretation(name)) for name in names]
    model = Compared(*built) if len(built) > 1 else built[0]
    _, params, state = model.init(init_key, SHAPE)
    with single_threaded(), warnings.catch_warnings():
        # Of many repetitions a few may be dead from the start: the accuracies tell.
        warnings.simplefilter("ignore", ConvergenceWarning)
        run = train(params, data, model=model, state=state, epochs=epochs, seed=seed)
    compared = (model.gradients, model.largest) if len(built) > 1 else ()
    return Outcome(run.params, run.state, run.history, run.snapshots, *compared)


def cost(job: Job) -> float:
    """How long a job takes, about, beside the run of a TinyMLP by one engine."""
    network, *rest = job.arguments
    if not isinstance(network, Network):
        return 5.0
    _, engine, epochs = rest
    both = 4.0 if engine == "both" else 1.0
    return (2.0 if network.builder == "tiny_cnn" else 1.0) * both * epochs / 80


def _call(job):
    return job.function(*job.arguments)


class Lab:
    """Results of jobs, each computed once and kept."""

    def __init__(
        self,
        engine: str = "both",
        trials: int | None = None,
        workers: int | None = None,
        executor: Executor | None = None,
        epochs: int = 80,
        on_result: Callable[[str, int], None] = lambda label, left: None,
    ):
        """Train through an engine, and the chapter's networks once or ``trials`` times.

        engine: fast, autograd, reference, or "both": autograd with every gradient compared with the
        reference's. trials: repetitions of each network, 2 or more; None for the chapter's own run.
        workers: processes, one a core by default; a single one works in this process. executor:
        any ``concurrent.futures.Executor`` in place of the processes. epochs: of each run.
        on_result: function of (label, jobs left) that is called after each job.

        Raises ValueError for an unknown engine, or counts that are not whole numbers.
        """
        if engine != "both":
            interpretation(engine)
        self.engine = engine
        self.trials = None if trials is None else integer(trials, "seeds", least=2)
        self.workers = cores() if workers is None else integer(workers, "workers")
        self.executor, self.epochs, self.on_result = executor, epochs, on_result
        self._results: dict[Job, Any] = {}

    def compute(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Compute the jobs that have no result yet, and yield each as it finishes."""
        jobs = [job for job in dict.fromkeys(jobs) if job not in self._results]
        if self.executor is None and min(len(jobs), self.workers) <= 1:
            results = ((i, _call(job)) for i, job in enumerate(jobs))
        else:
            results = run_all(_call, jobs, self.executor, self.workers)
        for done, (i, result) in enumerate(results, 1):
            if isinstance(result, dict) and "error" in result:
                raise ValueError(f"{jobs[i].label} failed: {result['error']}")
            self._results[jobs[i]] = result
            self.on_result(jobs[i].label, len(jobs) - done)
            yield jobs[i]

    def has(self, jobs: Iterable[Job]) -> bool:
        """Whether all these jobs have results."""
        return all(job in self._results for job in jobs)

    def result(self, job: Job) -> Any:
        """Return a job's result, computed now if it must be."""
        for _ in self.compute([job]):
            pass
        return self._results[job]

    def job(self, network: Network, trial: int | None = None) -> Job:
        """The job that trains a network: the chapter's run, or the repetition ``trial``.

        Repetitions ask how results vary, not whether gradients agree: with "both", they take the
        quickest engine.
        """
        engine = "fast" if self.engine == "both" and trial is not None else self.engine
        label = str(network) if trial is None else f"{network} repetition {trial + 1}"
        return Job(label, train_network, (network, trial, engine, self.epochs))

    def jobs(self, networks: Iterable[Network], trials: int | None = None) -> list[Job]:
        """The jobs of all repetitions of some networks, ``self.trials`` each by default."""
        trials = self.trials if trials is None else trials
        return [self.job(network, trial) for network in networks for trial in range(trials)]

    def run(self, network: Network, trial: int | None = None) -> Outcome:
        """Return the chapter's run of a network, or the repetition ``trial``."""
        return self.result(self.job(network, trial))

    def repetitions(self, network: Network, trials: int | None = None) -> list[Outcome]:
        """Return the repetitions of a network, ``self.trials`` by default."""
        return [self.result(job) for job in self.jobs([network], trials)]

    def accuracies(self, network: Network, trials: int | None = None) -> np.ndarray:
        """Return validation accuracies after the last epoch of repetitions, (trials,)."""
        return self.curves(network, trials)[:, -1]

    def curves(self, network: Network, trials: int | None = None) -> np.ndarray:
        """Return validation accuracies of repetitions by epoch, (trials, epochs + 1)."""
        return np.array([run.history["val_acc"] for run in self.repetitions(network, trials)])

    def parameters(self, network: Network) -> int:
        """Return the number of a network's parameters."""
        return count(self.model(network).init(None, SHAPE)[1])

    def model(self, network: Network) -> Any:
        """Build a network in the lab's interpretation, autograd's for "both"."""
        return network.build(interpretation(self.engines[0]))

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines whose gradients are computed: two for "both"."""
        return ("autograd", "reference") if self.engine == "both" else (self.engine,)

    @property
    def gradients(self) -> int:
        """How many gradients were computed in two interpretations."""
        return sum(result.gradients for result in self._results.values())

    @property
    def largest(self) -> float:
        """The largest relative difference of two gradients so far."""
        return max((result.largest for result in self._results.values()), default=0.0)
