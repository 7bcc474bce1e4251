"""The training loop: epochs of steps, with metrics, early stopping and resumption."""

from collections.abc import Callable, Container, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from autocnn import optim
from autocnn.deprecation import renamed_arguments
from autocnn.inspection.diagnose import Diverged, explain_evaluation
from autocnn.keys import as_key, child, rng
from autocnn.losses import Loss, cross_entropy
from autocnn.ops.arguments import integer
from autocnn.training import arguments
from autocnn.training.convergence import ConvergenceWarning, diagnose_run
from autocnn.training.data import training_data
from autocnn.training.evaluation import measure
from autocnn.training.mpi import Sharded
from autocnn.training.network import network_of
from autocnn.training.programs import program_run
from autocnn.training.sample_weight import drop_zero_weights, example_weights
from autocnn.training.state import Run, TrainState, epochs_since_best
from autocnn.training.step import ADVICE, train_batches
from autocnn.trees import leaves, tree_map
from reference import validate
from reference.origin import origin_of, remember
from reference.warn import warn

__all__ = ["METRICS", "SNAPSHOTS", "train"]

SNAPSHOTS = (0, 1, 5, 15, 40, 80)
METRICS = ("train_loss", "train_acc", "val_loss", "val_acc")


@renamed_arguments(measured="metric_subset")
def train(
    params: Any,
    data: Any,
    model: Any = None,
    state: Any = None,
    optimizer: optim.Optimizer | None = None,
    epochs: int = 80,
    batch_size: int = 18,
    seed: Any = 11,
    snapshots: Container[int] = SNAPSHOTS,
    progress: bool = False,
    *,
    validation: Any = None,
    augment: Callable[[Any, np.ndarray], np.ndarray] | None = None,
    metric_subset: int | None = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    patience: int | None = None,
    monitor: str = "val_acc",
    restore: str = "last",
    on_step: Callable[[TrainState], None] | None = None,
    on_epoch: Callable[[TrainState], None] | None = None,
    start: TrainState | None = None,
    loss: Loss = cross_entropy,
) -> Run:
    """Train a network and return a ``Run``. Changes no argument.

    The defaults train the chapter's TinyCNN as the chapter does. Each epoch goes through the
    training images once, in batches of a new permutation; the last batch may be short. Metrics are
    taken before training, as epoch 0, and after each epoch.

    params: tree of float arrays, the initial parameters. Images are cast to their dtype.
    data: has arrays x_train (N, C, H, W), y_train (N,), x_val and y_val, such as an
        ``ac.data.Dataset``; images of floats, labels of ints in [0, K). Or a pair (x, y).
    model: the network; it computes its own gradients. Default: the one whose ``init`` drew params,
        in the fast interpretation if all its layers have one. ``train`` knows it for the arrays
        that ``init`` drew or a run trained, and for what ``trees.tree_map`` made of them, but not
        for copies and for arrays from a file. Of these, parameters of TinyCNN's shapes train as
        TinyCNN with a UserWarning, since another network may have the same shapes; others are
        refused.
    state: the network's state. Default: the one that ``model.init`` gives.
    optimizer: an ``ac.optim.Optimizer``. Default: ``ac.optim.sgd(0.12)``.
    epochs: passes over the training images. Default: 80.
    batch_size: images in a batch. Default: 18.
    seed: an int, or a tuple of ints. One generator ``default_rng(seed)`` draws the permutations;
        dropout and augmentation have streams of their own. Default: 11.
    snapshots: epochs whose first convolution is kept in ``Run.snapshots``. Default: 0, 1, 5, 15,
        40 and 80.
    progress: show a bar on stderr. Default: False.
    validation: for a pair (x, y): another such pair, or the share of each class to hold out, the
        same images whatever ``seed`` is. Default: None; without validation images the history has
        no "val_loss" and "val_acc", and patience and restore="best" need another ``monitor``.
    augment: function (key, x) -> x that changes a batch of training images, such as
        ``ac.augment.shifts(2)``. Default: None, images as they are.
    metric_subset: take the training metrics on this many images, spread evenly over the training
        set. Default: None, on all of them.
    sample_weight: (N,), how much each training image counts. Default: None, all the same.
    class_weight: how much each class counts: K numbers; a dict {class: weight}, 1 for others; or
        "balanced", inversely to its frequency. Default: None, all the same. With weights, a batch's
        loss is sum_n w_n l_n / sum_n w_n, w_n = sample_weight[n] class_weight[y_n], as torch
        divides by its class weights. Images of weight 0 are left out. Metrics are not weighted.
    patience: stop after this many epochs in a row that are not better than the best one before
        them, epoch 0 included. Default: None, never.
    monitor: what makes an epoch better: a higher "val_acc" or "train_acc", or a lower "val_loss" or
        "train_loss"; the first of equals is the best. Default: "val_acc", since a loss can rise by
        overconfidence in a few images while more and more are right (Guo et al. 2017, On
        calibration of modern neural networks, figure 3); the loss is finer where the accuracy has
        few values.
    restore: return the parameters, state and optimizer state of the "last" or the "best" epoch.
        Default: "last".
    on_step, on_epoch: functions called with the ``TrainState`` after each step, and after each
        epoch's metrics, epoch 0 included. Default: None.
    start: the ``TrainState`` of a run with the same arguments to go on from, in place of params
        and state. Default: None. ``epochs`` may be more than that run's: 5 epochs and 5 more give
        the bits of 10, if the optimizer is the same.
    loss : what is minimised and recorded, ``ac.losses.cross_entropy`` (default) or
        ``ac.losses.mse``. y_train and y_val are the targets that it takes; where they are not
        labels, accuracies are NaN, and ``monitor`` must be "val_loss".

    Raises ValueError for data, trees or numbers that do not fit, and ``Diverged``, a ValueError,
    when the loss, the parameters or the state become infinite or NaN; it names the epoch, the step
    (the first is 1), and the layer or leaf in which that began. Warns by ``ConvergenceWarning``
    where the run has learned nothing, and says why in ``Run.diagnosis``.
    """
    epochs, batch_size = integer(epochs, "epochs"), integer(batch_size, "batch_size")
    patience = None if patience is None else integer(patience, "patience")
    arguments.check_choice("monitor", monitor, ("val_acc", "val_loss", "train_acc", "train_loss"))
    arguments.check_choice("restore", restore, ("last", "best"))
    arguments.check_methods(model, optimizer)
    optimizer = optim.sgd(0.12) if optimizer is None else optimizer
    x, y, x_val, y_val, kept = training_data(params, data, validation)
    is_guess = model is None and origin_of(params) is None
    model = network_of(params) if model is None else model
    arguments.check_start(start)
    arguments.check_monitor(x_val is not None, monitor, patience, restore, start)
    metrics = METRICS[: 2 if x_val is None else 4]
    now = start or _before_training(model, params, state, optimizer, x.shape[1:], metrics)
    outputs = validate.call(model, now.params, now.state, x)
    y = loss.check(y, len(x), outputs)
    arguments.check_targets(y, class_weight, monitor, patience, restore)
    if sample_weight is not None and np.shape(sample_weight)[:1] > (len(x),):
        sample_weight = np.asarray(sample_weight)[kept]
    weights = example_weights(y, outputs[0], sample_weight, class_weight)
    x, y, weights = drop_zero_weights(x, y, weights)
    subset = arguments.even_subset(len(x), metric_subset)
    if restore == "best":
        now = _with_best(now, monitor, steps_per_epoch=-(-len(x) // batch_size))
    snapshot = {}
    if isinstance(model, Sharded):
        settings = (epochs, batch_size, seed, patience, monitor, restore, augment is None)
        model.check_same(
            {
                "the training images": x,
                "the training labels": y,
                "the validation images": () if x_val is None else x_val,
                "the validation labels": () if y_val is None else y_val,
                "the weights of images": () if weights is None else weights,
                "the settings": settings,
                "the step": now.step,
                "the parameters": now.params,
                "the network's state": now.state,
                "the optimizer's state": now.opt_state,
            }
        )

    measured = [("training", x[subset], y[subset])]
    if x_val is not None:
        measured.append(("validation", x_val, y_val))
    programs = None
    if augment is None:
        parts = (x, y, weights)
        programs = program_run(model, optimizer, loss, now, parts, measured, batch_size)

    def end_epoch(now: TrainState, epoch: int) -> TrainState:
        if not is_guess:  # a guess stays one: the next call warns again
            remember(now.params, model)
        values: tuple[float, ...] = ()
        for i, (name, images, targets) in enumerate(measured):
            found = programs.measure(now.params, i) if programs else (np.nan,)
            if not np.isfinite(found[0]):
                found = _metrics(model, now, images, targets, name, epoch, loss)
            values += found
        now = _record(now, (epoch, *values), monitor if restore == "best" else None)
        if isinstance(model, Sharded):
            model.check_similar("the parameters and state", (now.params, now.state, now.opt_state))
        if epoch in snapshots and (w := _first_convolution(now.params)) is not None:
            snapshot[epoch] = w.copy()
        if on_epoch is not None:
            on_epoch(now)
        return now

    shuffle = rng(seed)
    with arguments.limit_threads(params, batch_size):
        if not now.history["epoch"]:
            now = end_epoch(now, 0)
        for epoch in tqdm(
            range(1, epochs + 1), desc="training", unit="epoch", disable=not progress
        ):
            order = shuffle.permutation(len(x))
            if epoch in now.history["epoch"]:  # a resumed run repeats the draws of its past
                continue
            if patience is not None and epochs_since_best(now.history, monitor) >= patience:
                break
            if programs:
                done = now.step - (epoch - 1) * -(-len(x) // batch_size)
                now = programs.train(now, order[done * batch_size :], seed, on_step)
            batches = _batches((x, y, weights), order, batch_size, epoch, now.step, seed, augment)
            now = end_epoch(train_batches(model, optimizer, now, batches, on_step, loss), epoch)
    at = now if restore == "last" else now.best
    epoch = at.history["epoch"][-1]
    judged = at if epoch else now  # no epoch was better than none at all: judge the last
    part = None if weights is None else weights[subset]
    found = diagnose_run(
        model, judged, (x[subset], y[subset], part), (x_val, y_val), now.history, loss, optimizer
    )
    if found is not None and (not isinstance(model, Sharded) or model.world.rank == 0):
        warn(str(found), ConvergenceWarning)
    return Run(at.params, at.state, now.history, snapshot, at.opt_state, model, epoch, now, found)


def _before_training(
    model: Any,
    params: Any,
    state: Any,
    optimizer: optim.Optimizer,
    shape: tuple[int, ...],
    metrics: tuple[str, ...],
) -> TrainState:
    if state is None:  # what init gives does not depend on its key: no weights are drawn for it
        state = tree_map(np.array, model.init(None, shape)[2])
    history = {name: [] for name in ("epoch", *metrics)}
    return TrainState(params, state, optimizer.init(params), 0, np.nan, history)


def _with_best(now: TrainState, monitor: str, steps_per_epoch: int) -> TrainState:
    """The state to go on from, with the one at its best epoch, which it holds or is itself."""
    if now.best is not None or not now.history["epoch"]:
        return now
    since_best = epochs_since_best(now.history, monitor)
    if since_best or now.step != steps_per_epoch * now.history["epoch"][-1]:
        epoch = now.history["epoch"][-1 - since_best]
        raise ValueError(
            f"restore='best' needs the parameters of epoch {epoch}, the best so far, which start "
            "does not hold: begin the run with restore='best' too, or go on with restore='last'"
        )
    return now._replace(best=now)


def _batches(
    data: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    order: np.ndarray,
    batch_size: int,
    epoch: int,
    first: int,
    seed: Any,
    augment: Callable | None,
) -> Iterator[tuple[str, tuple, Any]]:
    """Yield (name, batch, key) for the steps of an epoch from step ``first`` of the run on."""
    x, y, weights = data
    per_epoch = -(-len(x) // batch_size)
    # Two streams that the shuffling, which uses the seed itself, does not touch.
    dropout_key, augment_key = child(as_key(seed), 0), child(as_key(seed), 1)
    for step in range(first, epoch * per_epoch):
        begin = (step - (epoch - 1) * per_epoch) * batch_size
        chosen = order[begin : begin + batch_size]
        images = x[chosen]
        if augment is not None:
            images = augment(child(augment_key, step), images)
        batch = (images, y[chosen]) if weights is None else (images, y[chosen], weights[chosen])
        yield f"epoch {epoch}, step {step + 1}", batch, child(dropout_key, step)


def _metrics(
    model: Any, now: TrainState, x: np.ndarray, y: np.ndarray, name: str, epoch: int, loss: Loss
) -> tuple[float, ...]:
    """Loss and accuracy of images; ``Diverged`` when the loss is not finite."""
    value, accuracy = measure(model, now.params, now.state, x, y, loss=loss)
    if not np.isfinite(value):
        why = explain_evaluation(model, now.params, now.state, x)
        raise Diverged(
            f"the {name} loss became {value} at epoch {epoch}, step {now.step}: {why}; {ADVICE}"
        )
    return value, accuracy


def _record(now: TrainState, values: tuple, monitor: str | None) -> TrainState:
    """Append an epoch's values to the history; keep the state if it is the best by ``monitor``."""
    columns = zip(now.history.items(), values, strict=True)
    now = now._replace(history={name: [*column, value] for (name, column), value in columns})
    if monitor is not None and epochs_since_best(now.history, monitor) == 0:
        now = now._replace(best=now._replace(best=None))
    return now


def _first_convolution(params: Any) -> np.ndarray | None:
    return next((leaf for _, leaf in leaves(params) if leaf.ndim == 4), None)
