"""Search: let Optuna choose the points of a sweep, by what came out at the points before.

Points are chosen four at a time, by the results of those before. So a search that is continued, or
that has more points than before, goes through the same points, and what is stored does not run
again.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from autocnn.ops.arguments import integer
from autocnn.sweeps.evaluate import Data, Trial, Work, check_executor, evaluation
from autocnn.sweeps.grid import check_seeds, grid_points
from autocnn.sweeps.store import json_line
from autocnn.sweeps.sweep import Sweep

__all__ = ["Between", "search"]

BATCH = 4  # points chosen at a time
REPEATS = 20  # give up after so many choices in a row that are points of before


class Between(NamedTuple):
    """The values from ``low`` to ``high``, both included: ints if both are ints. log: small values
    are as likely as large ones, each factor of ten alike.
    """

    low: float
    high: float
    log: bool = False


def search(
    build: Callable[..., Any],
    space: Mapping[str, Between | Sequence[Any]],
    points: int,
    seeds: Any = 8,
    executor: Any = None,
    *,
    data: Data = None,
    epochs: int = 80,
    batch_size: int = 18,
    rate: float = 0.12,
    out: str | os.PathLike | None = None,
    name: str | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Sweep:
    """Train ``build(**options)`` at points that Optuna's TPE sampler chooses, for the largest mean
    validation accuracy over the seeds.

        space = {"filters": Between(1, 64), "rate": Between(0.01, 1.0, log=True)}
        found = search(ac.models.tiny_cnn, space, points=30, seeds=4, out="trials.jsonl")

    space: {option: a ``Between``, or a list of values}. points: how many to try; fewer when the
    space has no more. The other arguments are those of ``autocnn.sweep``, as are what is returned
    and raised. ValueError when Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ValueError(
            "a search needs Optuna; install it: pip install 'autocnn[optuna]'"
        ) from None
    work = Work(build, data, epochs, batch_size, rate, name)
    check_executor(executor, workers)
    points, seeds, names = integer(points, "points"), check_seeds(seeds), tuple(space)
    ends = {option: _ends(option, given) for option, given in space.items()}
    grid_points(build, ends)
    distributions = {option: _distribution(space[option]) for option in names}
    described = {option: list(given) for option, given in space.items()}
    trials: list[Trial] = []
    scores: dict[str, float | None] = {}
    results: dict[str, dict[str, Any]] = {}
    total = points * len(seeds)
    options: dict[str, Any] = {"may_differ": True, "sampler": "optuna", "space": described}
    running = evaluation(work, names, executor, out, workers, progress, total, **options)
    with _quiet(optuna.logging), running as evaluate:
        study = optuna.create_study(direction="maximize")
        while len(scores) < points:
            study.sampler = optuna.samplers.TPESampler(seed=len(scores))
            chosen = _choose(study, distributions, scores, min(BATCH, points - len(scores)))
            if not chosen:
                break
            batch = {
                json_line(point): [{**point, "seed": seed} for seed in seeds] for _, point in chosen
            }
            todo = [trial for point in batch.values() for trial in point]
            results |= evaluate(todo)
            trials += todo
            for asked, point in chosen:
                line = json_line(point)
                scores[line] = _mean([results[json_line(trial)] for trial in batch[line]])
                _tell(study, asked, scores[line])
    return Sweep([trial | results[json_line(trial)] for trial in trials], names)


@contextlib.contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Let Optuna say nothing of each trial; its level is that of the whole process."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _choose(
    study: Any, distributions: dict[str, Any], scores: dict[str, float | None], count: int
) -> list[tuple[Any, dict[str, Any]]]:
    """Return new points, each with Optuna's trial; fewer when it has no others to give."""
    chosen: list[tuple[Any, dict[str, Any]]] = []
    waiting: set[str] = set()
    repeats = 0
    while len(chosen) < count and repeats < REPEATS:
        asked = study.ask(distributions)
        point = {name: _short(asked.params[name]) for name in distributions}
        line = json_line(point)
        if line in scores or line in waiting:
            repeats += 1
            _tell(study, asked, scores.get(line))
        else:
            waiting.add(line)
            chosen.append((asked, point))
    return chosen


def _tell(study: Any, asked: Any, score: float | None) -> None:
    from optuna.trial import TrialState

    if score is None:
        study.tell(asked, state=TrialState.FAIL)
    else:
        study.tell(asked, score)


def _mean(results: list[dict[str, Any]]) -> float | None:
    """The mean accuracy of the trials that did not fail; None if all failed."""
    values = [result["val_acc"] for result in results if "error" not in result]
    return sum(values) / len(values) if values else None


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _ends(option: str, given: Any) -> list[Any]:
    """The values of an option, or the two ends of a range; ValueError for what is neither."""
    if not isinstance(given, Between):
        return list(given) if isinstance(given, list | tuple | range) else given
    low, high, log = given
    numbers = all(isinstance(x, int | float) and math.isfinite(x) for x in (low, high))
    if not (numbers and low < high and (low > 0 or not log)):
        raise ValueError(
            f"{option} needs a range from a smaller to a larger number, above 0 for log, such as "
            f"Between(0.01, 1.0, log=True); got {given}"
        )
    return [low, high]  # not equal


def _distribution(given: Any) -> Any:
    from optuna import distributions

    if not isinstance(given, Between):
        return distributions.CategoricalDistribution(list(given))
    if isinstance(given.low, int) and isinstance(given.high, int):
        return distributions.IntDistribution(given.low, given.high, log=given.log)
    return distributions.FloatDistribution(given.low, given.high, log=given.log)
