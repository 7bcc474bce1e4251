"""Whether a run has learned anything, and if not, what is known about why.

A network that ignores its images does best by one constant output, such as the frequencies of the
classes: its loss is the least that guessing reaches, ln K for K classes of equal frequency. A run
that ends no better has learned nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autocnn.inspection.diagnose import DeadUnits, dead_units
from autocnn.losses import Loss
from autocnn.optim import Optimizer
from autocnn.training.guessing import CERTAIN, deviations, guess, has_learned, is_labels
from autocnn.training.state import TrainState
from autocnn.trees import leaves

__all__ = ["ConvergenceWarning", "Diagnosis", "diagnose_run"]

SAMPLE = 512  # images that are looked at once a run is doubtful
ENOUGH_STEPS, ENOUGH_EPOCHS = 50, 2  # before which a network need not have left its beginning
SOME_STEPS = 20  # before which a loss may rise and fall again
DEFAULT_RATES = {"sgd": 0.12, "adam": 1e-3}


class ConvergenceWarning(UserWarning):
    """Training ended without having learned anything that carries over to other images."""


@dataclass(frozen=True)
class Diagnosis:
    """Why a run counts as not having learned.

    problem: what was found. observed: more facts, such as dead units or a constant output. dead:
    the layers that have dead units. rate: the highest learning rate of the run; None where the
    optimizer does not tell. usual_rate: what to compare it with, and its source. advice: "lower" or
    "raise" the rate, "labels" for labels that do not belong to the images, or "" where none stands
    out.
    """

    problem: str
    observed: tuple[str, ...] = ()
    dead: tuple[DeadUnits, ...] = ()
    rate: float | None = None
    usual_rate: tuple[float, str] | None = None
    advice: str = ""

    def text(self, usual_rate: tuple[float, str] | None = None, option: str = "") -> str:
        """Return one line: what was found, and what to try.

        usual_rate: another rate to compare with. option: how the rate is given, such as "--rate".
        """
        usual = usual_rate or self.usual_rate
        rate = f" ({option})" if option else ""
        beside = ""
        if self.rate is not None:
            beside = f", which is {self.rate:g} here"
            beside += f" and {usual[0]:g} {usual[1]}" if usual else ""
        advice = self.advice
        if usual and self.rate is not None and not advice:
            ratio = self.rate / usual[0]
            advice = "lower" if ratio > 12 else "raise" if ratio < 0.05 else advice
        if advice == "labels":
            todo = "check that the labels belong to the images, in the same order"
        elif advice:
            todo = f"{advice} the rate{rate}{beside}"
            if usual and self.rate is not None and advice == "lower" and self.rate <= usual[0]:
                todo += ", or begin with other weights (another key or seed)"
        else:
            todo = (
                f"try another rate{rate}{beside}; train longer; check that the labels belong to "
                "the images"
            )
        return "; ".join([self.problem, *self.observed, todo])

    def __str__(self) -> str:
        return self.text()


def diagnose_run(
    model: Any,
    end: TrainState,
    train: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    validation: tuple[np.ndarray | None, np.ndarray | None],
    history: dict[str, list],
    loss: Loss,
    optimizer: Optimizer,
) -> Diagnosis | None:
    """Return why a run has learned nothing; None if it has, or if it was too short to tell.

    end: the state after the epoch that is judged, the last of its own history. train: the images,
    targets and weights (None for equal ones) that the history's metrics are taken on. validation:
    (x, y), or (None, None). history: of the whole run.
    """
    x, y, weights = train
    at = len(end.history["epoch"]) - 1
    if end.step == 0 or at == 0:
        return None
    if has_learned(history["train_loss"][at], history["train_acc"][at], loss, y):
        x_val, y_val = validation
        if x_val is not None and y_val is not None and _may_be_memorized(end, history, loss, y_val):
            found = _labels_without_information(model, end, x_val, y_val, history, len(y))
            return None if found is None else Diagnosis(found, advice="labels")
        return None
    chosen = np.arange(min(len(x), SAMPLE)) * len(x) // min(len(x), SAMPLE)
    outputs = model.apply(end.params, end.state, x[chosen])[0]
    if weights is not None and _weighted_has_learned(outputs, loss, y[chosen], weights[chosen]):
        return None
    if _learns_in_training_mode(model, end, x[chosen], y[chosen], loss):
        return None  # running statistics of batch norm that lag behind
    facts = _facts(outputs, x[chosen], y, end, history, loss, weights is not None)
    if facts is None:
        return None
    problem, observed, advice = facts
    dead = _mostly_dead(model, end.params, end.state, x[chosen])
    rate, usual = _rates(optimizer, end.step)
    return Diagnosis(problem, (*observed, *_dead_text(dead)), dead, rate, usual, advice)


def _weighted_has_learned(
    outputs: np.ndarray, loss: Loss, y: np.ndarray, weights: np.ndarray
) -> bool:
    share = weights / weights.sum()
    right = loss.correct(outputs, y)
    accuracy = np.nan if right is None else float(share @ right)
    least, best = guess(loss, y, weights)
    effective = 1 / float(share @ share)
    below = float(share @ loss.each(np, outputs, y)) < least * 0.99
    return below or deviations(accuracy, best, effective) > CERTAIN


def _learns_in_training_mode(
    model: Any, end: TrainState, x: np.ndarray, y: np.ndarray, loss: Loss
) -> bool:
    """Whether a network with state, as batch norm has, is right with the batch's own statistics."""
    if not leaves(end.state):
        return False
    outputs = model.apply(end.params, end.state, x, True, 0)[0]
    right = loss.correct(outputs, y)
    accuracy = np.nan if right is None else float(right.mean())
    return has_learned(float(loss.each(np, outputs, y).mean()), accuracy, loss, y)


def _facts(
    outputs: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    end: TrainState,
    history: dict[str, list],
    loss: Loss,
    is_weighted: bool,
) -> tuple[str, list[str], str] | None:
    """Return (problem, what was observed, advice) of a run that is no better than a guess; None
    where it is on its way, or has not gone far. With weights, the history is not of what was
    minimised: a constant output alone is a sign then.
    """
    at = len(end.history["epoch"]) - 1
    losses, accuracies = history["train_loss"][: at + 1], history["train_acc"][: at + 1]
    (least, share), last = guess(loss, y), losses[-1]
    varied = bool(np.ptp(x, axis=0).max() > 0)
    constant = varied and np.ptp(outputs, axis=0).max() <= 1e-3 * max(1.0, np.abs(outputs).max())
    exploded = last > max(2 * least, losses[0]) and end.step >= SOME_STEPS
    best = int(np.argmin(losses))
    collapsed = best > 0 and has_learned(losses[best], accuracies[best], loss, y)
    falling = bool(np.all(np.diff(losses) < 0)) and losses[0] - last > 0.003 * least
    early = is_weighted or falling or end.step < ENOUGH_STEPS or at < ENOUGH_EPOCHS
    if early and not (constant or (not is_weighted and (exploded or collapsed))):
        return None
    epochs = f"{at} epoch{'s' * (at > 1)}"
    if np.isnan(share):
        problem = (
            f"no better than predicting the mean target after {epochs} (loss {last:.4g}; the mean "
            f"reaches {least:.4g})"
        )
    else:
        problem = (
            f"no better than guessing after {epochs} (loss {last:.4g}, accuracy "
            f"{accuracies[-1]:.1%}; guessing reaches {least:.4g} and {share:.1%})"
        )
    observed = []
    if collapsed:
        observed.append(f"the loss was {losses[best]:.4g} after epoch {best} and collapsed then")
    if exploded:
        observed.append(f"the loss rose from {losses[0]:.4g} to {max(losses):.4g}")
    if constant:
        observed.append("the output is the same for every image")
    unmoved = abs(last - losses[0]) <= 0.003 * least and not (constant or exploded or collapsed)
    if unmoved:
        observed.append(f"the loss has hardly moved, from {losses[0]:.5g} to {last:.5g}")
    advice = "lower" if constant or exploded or collapsed else ""
    return problem, observed, advice


def _mostly_dead(model: Any, params: Any, state: Any, x: np.ndarray) -> tuple[DeadUnits, ...]:
    try:
        found = dead_units(model, params, state, x)
    except ValueError:  # a layer made of parts by hand cannot be looked into
        return ()
    return tuple(layer for layer in found if 2 * len(layer.dead) >= layer.units)


def _dead_text(dead: tuple[DeadUnits, ...]) -> list[str]:
    if not dead:
        return []
    parts = [f"{len(found.dead)} of {found.units} in {found.layer}" for found in dead[:4]]
    more = ", ..." * (len(dead) > 4)
    return [f"units that are 0 for every image: {', '.join(parts)}{more}"]


def _may_be_memorized(end: TrainState, history: dict[str, list], loss: Loss, y: np.ndarray) -> bool:
    """Whether a run that has learned its training images guesses on the validation images."""
    at = len(end.history["epoch"]) - 1
    if not is_labels(y) or "val_acc" not in history or len(y) < 100:
        return False
    if end.step < ENOUGH_STEPS or at < ENOUGH_EPOCHS:
        return False
    value, accuracy = history["val_loss"][at], history["val_acc"][at]
    least, share = guess(loss, y)
    return value > least and deviations(accuracy, share, len(y)) < CERTAIN


def _labels_without_information(
    model: Any, end: TrainState, x: np.ndarray, y: np.ndarray, history: dict[str, list], n: int
) -> str | None:
    """Say that nothing of what was learned from n training images holds for the validation images
    x, y; None where some of it does, or where too few of the training images are right to tell.
    """
    at, batches = len(end.history["epoch"]) - 1, range(0, len(x), SAMPLE)
    outputs = [model.apply(end.params, end.state, x[i : i + SAMPLE])[0] for i in batches]
    answers = np.concatenate(outputs).argmax(axis=1)
    size = 1 + max(int(answers.max()), int(y.max()))
    counts = [np.bincount(labels, minlength=size) for labels in (answers, y)]
    chance = float(counts[0] @ counts[1]) / len(y) ** 2  # of answers that ignore the labels
    deviation = np.sqrt(chance * (1 - chance) * (1 / len(y) + 1 / n))
    accuracy, trained = float((answers == y).mean()), history["train_acc"][at]
    if accuracy > chance + 2 * deviation or trained - accuracy < max(0.03, 3 * deviation):
        return None
    return (
        f"{trained:.1%} of the training images are right after {at} epochs, but on the validation "
        f"images the network is no better than guessing ({accuracy:.1%} are right, {chance:.1%} by "
        "chance)"
    )


def _rates(optimizer: Optimizer, steps: int) -> tuple[float | None, tuple[float, str] | None]:
    """Return the highest rate of an optimizer of ``autocnn.optim``, and the usual one."""
    update: Any = optimizer.update
    options = getattr(update, "keywords", {})
    if "optimizer" in options:  # clipping around another optimizer
        return _rates(options["optimizer"], steps)
    rate: float | Callable[[int], float] | None = options.get("rate")
    if rate is None:
        return None, None
    if callable(rate):
        rate = max(float(rate(int(step))) for step in np.linspace(0, steps - 1, min(steps, 200)))
    kind = "adam" if "beta1" in options else "sgd"
    source = "by default"
    return float(rate), (DEFAULT_RATES[kind], source)
