"""Training: pure functions from parameters and data to parameters and history. The model brings
its own gradient path.
"""

import contextlib

import numpy as np
from tqdm import tqdm

from autocnn import models, optim
from autocnn.inspection import diagnose as divergence
from autocnn.inspection.diagnose import Diverged
from autocnn.keys import as_key, child, rng
from autocnn.ops.arguments import whole
from autocnn.training import sample_weight as weights
from autocnn.training.evaluation import evaluate
from autocnn.training.state import Run, TrainState, epochs_since_best
from autocnn.training.step import ADVICE, Steps
from autocnn.trees import count, leaves, tree_map
from reference import validate as checks
from reference.loss import cross_entropy

__all__ = ["train"]

SNAPSHOTS = (0, 1, 5, 15, 40, 80)
METRICS = ("train_loss", "train_acc", "val_loss", "val_acc")


def train(
    params,
    data,
    model=None,
    state=None,
    optimizer=None,
    epochs=80,
    batch_size=18,
    seed=11,
    snapshots=SNAPSHOTS,
    progress=False,
    *,
    augment=None,
    measured=None,
    sample_weight=None,
    class_weight=None,
    patience=None,
    monitor="val_acc",
    restore="last",
    on_step=None,
    on_epoch=None,
    start=None,
):
    """Train on ``data.x_train`` and return a ``Run``; the defaults are the chapter's run of
    TinyCNN. Changes no argument.

    One generator ``default_rng(seed)`` serves the whole run: each epoch takes one permutation and
    goes through it in batches, the last of which may be short. Metrics on the whole training and
    validation sets are taken before training and after each epoch. The optimizer defaults to
    ``sgd(0.12)``; images are cast to the parameters' dtype. ``progress`` shows a bar on stderr.

    augment: function (key, x) -> x that changes a batch of training images, such as
    ``augment.shifts(2)``. measured: take the training metrics on this many images, spread evenly
    over the set, instead of on all. sample_weight: how much each training image counts, (N,).
    class_weight: how much each class does: K numbers, a dict
        {class: weight}, or "balanced", by which all classes count the same. A batch's loss is sum_n
        w_n l_n / sum_n w_n with w_n = sample_weight[n] class_weight[y_n], divided as torch divides
        by its class weights; images of weight 0 are left out, as though they were not there. The
        metrics are not weighted.
    patience: stop when so many epochs in a row were not better than the best one before them, epoch
    0 included. monitor: what makes an epoch better: a higher "val_acc", the default, since a loss
    can rise by overconfidence in a few
        images while more and more are right (Guo et al. 2017, On calibration of modern neural
        networks, figure 3); or a lower "val_loss", which is finer where the accuracy has few
        values. Of equals, the first is best.
    restore: return the parameters, state and optimizer state of the "last" epoch, or of the "best"
    one. on_step, on_epoch: functions of a ``TrainState``, called after each step and after each epoch's
    metrics, epoch 0 included. start: a ``TrainState`` of a run with the same arguments, in place of
    ``params`` and ``state``; the run goes on from there.
        ``epochs`` may be more than that run's: 5 epochs and 5 more are the same bits as 10, if the
        optimizer is the same.

    Raises ValueError for data, trees or counts that do not fit, and ``Diverged`` when the loss, the
    parameters or the state become infinite or NaN; it names the epoch, the step (the first is 1),
    and the layer or leaf in which that began.
    """
    epochs, batch_size = whole(epochs, "epochs"), whole(batch_size, "batch_size")
    patience = None if patience is None else whole(patience, "patience")
    _check_kinds(model, optimizer)
    _check_words(monitor=(monitor, ("val_acc", "val_loss")), restore=(restore, ("last", "best")))
    model = _tiny_cnn_of(params) if model is None else model
    x, y, x_val, y_val = _cast(params, data)
    if state is None:
        state = _fresh_state(model, x.shape[1:])
    optimizer = optim.sgd(0.12) if optimizer is None else optimizer
    opt_state, step, loss, best = optimizer.init(params), 0, np.nan, None
    history = {name: [] for name in ("epoch", *METRICS)}
    if start is not None:
        if not isinstance(start, TrainState):
            hint = (
                "; this is a whole Run: pass start=run.train_state"
                if isinstance(start, Run)
                else ""
            )
            raise ValueError(
                f"start must be the TrainState of a run to go on from; got {type(start).__name__}{hint}"
            )
        params, state, opt_state, step, loss, _, best = start
        history = {name: list(values) for name, values in start.history.items()}
    outputs = checks.call(model, params, state, x)
    cross_entropy.check(y, len(x), outputs)
    weight = weights.of_examples(y, outputs[0], sample_weight, class_weight)
    x, y, weight = weights.present(x, y, weight)
    sample = _spread(len(x), measured)
    shuffle = rng(seed)
    dropout_key, augment_key = (
        child(as_key(seed), 0),
        child(as_key(seed), 1),
    )  # branches that the shuffling does not touch
    kept, steps, batches = {}, Steps(model, optimizer), -(-len(x) // batch_size)
    if restore == "best" and history["epoch"] and best is None:
        best = _itself_best(start, monitor, batches)

    def now():
        return params, state

    def moment():
        past = {name: list(values) for name, values in history.items()}
        return TrainState(params, state, opt_state, step, float(loss), past, best)

    def metrics(epoch, images, labels):
        found = evaluate(model, params, state, images, labels)
        if not np.isfinite(found[0]):
            why = divergence.of_evaluation(model, params, state, images)
            kind = "validation" if images is x_val else "training"
            raise Diverged(
                f"the {kind} loss became {found[0]} at epoch {epoch}, step {step}: {why}; {ADVICE}"
            )
        return found

    def record(epoch):
        nonlocal best
        values = (*metrics(epoch, x[sample], y[sample]), *metrics(epoch, x_val, y_val))
        for name, value in zip(history, (epoch, *values), strict=True):
            history[name].append(value)
        if restore == "best" and not epochs_since_best(history, monitor):
            best = moment()._replace(best=None)
        if epoch in snapshots and (kernels := _first_kernels(params)) is not None:
            kept[epoch] = kernels.copy()
        if on_epoch is not None:
            on_epoch(moment())

    with _threads_for(params, batch_size):
        if not history["epoch"]:
            record(0)
        for epoch in tqdm(
            range(1, epochs + 1), desc="training", unit="epoch", disable=not progress
        ):
            order = shuffle.permutation(len(x))
            if (
                epoch in history["epoch"]
            ):  # a run that goes on repeats the draws of its past, not the steps
                continue
            if patience is not None and epochs_since_best(history, monitor) >= patience:
                break
            with steps.blamed(now):
                for i in range(step - (epoch - 1) * batches, batches):
                    chosen = order[i * batch_size : (i + 1) * batch_size]
                    images = (
                        x[chosen]
                        if augment is None
                        else augment(child(augment_key, step), x[chosen])
                    )
                    batch = (
                        (images, y[chosen])
                        if weight is None
                        else (images, y[chosen], weight[chosen])
                    )
                    key, where = child(dropout_key, step), f"epoch {epoch}, step {step + 1}"
                    loss, params, opt_state, state = steps.take(
                        params, state, opt_state, batch, key, where
                    )
                    step += 1
                    if on_step is not None:
                        on_step(moment())
                record(epoch)
    ended = moment()
    at = ended if restore == "last" else best
    return Run(
        at.params, at.state, history, kept, at.opt_state, model, at.history["epoch"][-1], ended
    )


def _itself_best(start, monitor, batches):
    """The moment to start from, as the best so far, which it is unless some epoch before it was
    better.
    """
    if (
        epochs_since_best(start.history, monitor)
        or start.step != batches * start.history["epoch"][-1]
    ):
        epoch = start.history["epoch"][-1 - epochs_since_best(start.history, monitor)]
        raise ValueError(
            f"restore='best' needs the parameters of epoch {epoch}, the best so far, which start does not hold: begin the run "
            "with restore='best' too, or go on with restore='last'"
        )
    return start


def _threads_for(params, batch_size):
    """Hold BLAS to one thread while a tiny network trains: its matrix products are over before a
    second thread has woken.
    """
    if batch_size * count(params) > 1e6:
        return contextlib.nullcontext()
    from autocnn.fast import threadpool

    return threadpool.single_threaded_blas()


def _spread(n, count):
    """The indices of ``count`` of n images, evenly spread; all of them for None."""
    if count is None or whole(count, "measured") >= n:
        return slice(None)
    return np.arange(count) * n // count


def _check_kinds(model, optimizer):
    """Say what to pass in place of a function that makes a model or an optimizer, or of a
    learning rate.
    """
    for name, value, needed, such_as in (
        (
            "model",
            model,
            ("apply", "loss_and_grad"),
            "a network, such as model=ac.models.tiny_cnn()",
        ),
        (
            "optimizer",
            optimizer,
            ("init", "update"),
            "an optimizer, such as optimizer=ac.optim.sgd(0.1)",
        ),
    ):
        if value is not None and not all(
            callable(getattr(value, method, None)) for method in needed
        ):
            called = getattr(value, "__name__", "") if callable(value) else ""
            got = (
                f"the function {called}, which makes one when it is called"
                if called
                else repr(value)
            )
            raise ValueError(f"{name} must be {such_as}; got {got}")


def _check_words(**options):
    """Raise ValueError for an option, name=(value, words), whose value is none of its words."""
    for name, (value, words) in options.items():
        if value not in words:
            raise ValueError(f"{name} must be {' or '.join(map(repr, words))}; got {value!r}")


def _cast(params, data):
    """Return the data's four arrays, the images in the parameters' dtype, after checking that
    they are images and labels.
    """
    pairs = leaves(params)
    if not pairs:
        raise ValueError(
            "there is nothing to train: params have no leaves; make them by model.init(key, shape)"
        )
    for path, leaf in pairs:
        checks.floats(f"params leaf '{path}'", leaf)
    for name in ("x_train", "y_train", "x_val", "y_val"):
        if not hasattr(data, name):
            raise ValueError(
                f"data needs x_train, y_train, x_val and y_val, got {type(data).__name__}; use ac.data.patterns()"
            )
    x, y, x_val, y_val = (
        np.asarray(a) for a in (data.x_train, data.y_train, data.x_val, data.y_val)
    )
    for name, a in (("x_train", x), ("x_val", x_val)):
        if len(a) == 0:
            raise ValueError(
                f"data.{name} is empty; a data set needs at least one image for training and one for validation"
            )
        checks.floats(f"data.{name}", a)
    dtype = pairs[0][1].dtype
    return x.astype(dtype, copy=False), y, x_val.astype(dtype, copy=False), y_val


def _fresh_state(model, shape):
    """The state that init gives. It does not depend on the key, so that no weights need be
    drawn.
    """
    return tree_map(np.array, model.init(None, shape)[2])


def _tiny_cnn_of(params):
    """The fast TinyCNN whose parameters these are: filters, kernel and classes are read off
    their shapes.
    """
    from autocnn import fast  # costs a tenth of a second, which only training should pay

    shapes = {path: np.shape(leaf) for path, leaf in leaves(params)}
    w, out = shapes.get("0.w", ()), shapes.get("4.w", ())
    if list(shapes) != ["0.w", "0.b", "4.w", "4.b"] or len(w) != 4 or len(out) != 2:
        raise ValueError(
            f"train assumes TinyCNN, whose leaves are 0.w, 0.b, 4.w and 4.b; these params have {', '.join(shapes) or 'none'}. "
            "Pass the network that they belong to: train(params, data, model=...)"
        )
    return models.tiny_cnn(classes=out[1], filters=w[0], kernel=w[2:], nn=fast)


def _first_kernels(params):
    return next((leaf for _, leaf in leaves(params) if leaf.ndim == 4), None)
