"""``CNNClassifier``: a network as a scikit-learn estimator."""

import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from autocnn import optim, training
from autocnn.data.scale import UnscaledImages
from autocnn.models.interpretations import interpretation
from autocnn.ops.arguments import integer
from autocnn.runs.recipes import named_optimizer
from autocnn.sklearn import data, files
from autocnn.sklearn.images import build_network
from autocnn.text import shape_text
from autocnn.training.evaluation import probabilities
from autocnn.training.step import train_one_pass
from reference.warn import warn

__all__ = ["CNNClassifier"]

HISTORY = {"epoch": "epoch", "loss": "train_loss", "accuracy": "train_acc"}
VALIDATION = {"val_loss": "val_loss", "val_accuracy": "val_acc"}
METRIC_SUBSET = 1000  # training images that the metrics of ``history_`` are measured on


class CNNClassifier(ClassifierMixin, BaseEstimator):
    """Classify images with one of autocnn's networks.

    X is images (N, C, H, W) or (N, H, W, C), grey images (N, H, W), or rows (N, D), which become
    images of ``image_shape``. Numbers may have any range: they are shifted and scaled by the mean
    and standard deviation of all numbers of the first data. Labels are anything that NumPy can
    sort. The network computes in float32 if X is float32 or bytes, and in float64 otherwise.

    network: "tiny-cnn", "tiny-mlp", "lenet5", "lenet5-1998" (32 x 32 pixels only), another name of
        ``autocnn.models.NETWORKS``, or a function such as ``ac.models.resnet50``, called with
        ``classes`` and ``nn``. "auto" is tiny-cnn with 12 filters for images of at least 8 x 8, and
        tiny-mlp with 72 units for smaller ones and for tables, whose columns have no neighbours.
        The windows of tiny-cnn shrink to fit an image that is smaller.
    epochs, batch_size: passes over the data, and images per step.
    optimizer: "adam", "sgd" (with Nesterov momentum 0.9), or an ``autocnn.optim.Optimizer``, which
        has its own rate.
    rate, weight_decay: of a named optimizer. ``fit`` varies the rate by ``optim.cosine``, with 5 %
        of the steps as warmup; ``partial_fit`` keeps it constant.
    class_weight: None, a dict {label: weight} (1 for labels it leaves out), or "balanced", which
        gives all classes the same total weight. It multiplies the ``sample_weight`` of ``fit``. The
        loss of a batch is the weighted mean, as in ``ac.train``; samples of weight 0 are left out.
        A weight of 2 equals a repeated sample only if one batch holds all samples.
    early_stopping: hold out ``validation_fraction`` of the data, stratified by label, or take the
        ``validation_data`` of ``fit``; stop after ``n_iter_no_change`` epochs without a better
        accuracy on it, and keep the best parameters.
    warm_start: let ``fit`` go on from the parameters and the scaling of the last call.
    width: factor on the channels and units of a network given by name.
    image_shape: (H, W) or (C, H, W) of rows; None for a square grey image if D is a square number,
        and 1 x D otherwise.
    engine: the interpretation that computes gradients, "fast", "autograd" or "reference".
    random_state: int, RandomState or None, as in scikit-learn; an int gives equal bits each time.
    verbose: show a progress bar in ``fit``.

    Fitted attributes: ``classes_``; ``n_features_in_`` (numbers per image); ``image_shape_`` (C, H,
    W); ``params_`` and ``state_`` (trees); ``temperature_``, what the outputs are divided by before
    the softmax: fitted on the validation data, from ``early_stopping`` or ``validation_data``, so
    that probabilities are as often right as they say (Guo et al. 2017), and 1, which is not
    calibrated, without such data, for fewer than 50 samples of it, and after ``partial_fit``;
    ``epoch_``, the epoch of the last ``fit`` they are from;
    ``n_iter_``, passes over the data so far; ``history_``, of the last ``fit``: {"epoch", "loss",
    "accuracy"}, unweighted, on at most 1000 training images, and with validation data "val_loss"
    and "val_accuracy"; ``loss_curve_``, the loss after each epoch, of warm starts in a row.

    Warns by scikit-learn's ``ConvergenceWarning`` where ``fit`` has learned nothing. ``save`` and
    ``load`` keep it in a file that runs no code when it is read; it can also be pickled.
    """

    def __init__(
        self,
        network="auto",
        *,
        epochs=50,
        batch_size=32,
        optimizer="adam",
        rate=0.01,
        weight_decay=0.0,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        width=1.0,
        image_shape=None,
        engine="fast",
        random_state=None,
        verbose=False,
        warm_start=False,
    ):
        self.network = network
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.rate = rate
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.width = width
        self.image_shape = image_shape
        self.engine = engine
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None
    ) -> Self:
        """Train new parameters, or those of the last call with ``warm_start``, on X and labels y.

        y: (N,). sample_weight: N numbers, 0 or more. validation_data: (X, y) to measure each epoch
        on, and to stop early by. Returns self. ValueError for bad data or settings.
        """
        again = self.warm_start and hasattr(self, "params_")
        if again:
            x, y, weight, model, params, state = data.go_on(self, X, y, sample_weight)
            self._seed = self._draw_seed()
        else:
            x, y, weight = data.validate_first(self, X, y, None, sample_weight)
            model, params, state = self._init_network(x.dtype)
        batch_size = integer(self.batch_size, "batch_size")
        parts, weight = data.divide(self, x, y, weight, validation_data)
        n = len(parts[0]) if weight is None else np.count_nonzero(weight)
        if n == 0:
            raise ValueError(
                "early_stopping held out every sample whose weight is above 0: fewer weights of 0, "
                "or without it"
            )
        steps = -(-n // batch_size) * integer(self.epochs, "epochs")
        stopping = {}
        if self.early_stopping:
            patience = integer(self.n_iter_no_change, "n_iter_no_change")
            stopping = {"patience": patience, "restore": "best"}
        run = _train(
            params,
            parts,
            model,
            state,
            self._make_optimizer(steps),
            self.epochs,
            batch_size,
            self._seed,
            snapshots=(),
            progress=self.verbose,
            metric_subset=METRIC_SUBSET,
            sample_weight=weight,
            **stopping,
        )
        self.params_, self.state_, self.epoch_ = run.params, run.state, run.epoch
        self.temperature_ = data.temperature(model, run, parts)
        self._opt_state = None
        columns = HISTORY | (VALIDATION if len(parts) == 4 else {})
        self.history_ = {name: run.history[column] for name, column in columns.items()}
        earlier = self.loss_curve_ if again and hasattr(self, "loss_curve_") else []
        self.loss_curve_ = [*earlier, *self.history_["loss"][1:]]
        self.n_iter_ = (self.n_iter_ if again else 0) + self.history_["epoch"][-1]
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one pass over X, in its order, continuing with the optimizer's state.

        classes: all labels, needed in the first call unless ``fit`` came before. Holds nothing out.
        Returns self.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit cannot balance classes that it sees in parts: "
                "class_weight={label: weight, ...}"
            )
        if hasattr(self, "params_"):
            if classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
                raise ValueError(
                    f"classes={classes!r} is not the same as on the last call to partial_fit, "
                    f"{self.classes_!r}"
                )
            x, y, weight, model, params, state = data.go_on(self, X, y, sample_weight)
        else:
            if classes is None:
                raise ValueError(
                    "the first call of partial_fit needs all labels: "
                    "partial_fit(X, y, classes=np.unique(all_y))"
                )
            x, y, weight = data.validate_first(self, X, y, classes, sample_weight)
            model, params, state = self._init_network(x.dtype)
        optimizer = self._make_optimizer()
        opt_state = getattr(self, "_opt_state", None) or optimizer.init(params)
        batch_size = integer(self.batch_size, "batch_size")
        self.params_, self.state_, self._opt_state = train_one_pass(
            model, params, state, optimizer, opt_state, (x, y, weight), batch_size, self._seed
        )
        self.temperature_ = 1.0  # what ``fit`` found was of other parameters
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each of ``classes_`` for each image, (N, K)."""
        check_is_fitted(self, "params_")
        (x,) = data.validate_again(self, X)
        temperature = getattr(self, "temperature_", 1.0)  # a file of an earlier version has none
        return probabilities(self._model(), self.params_, self.state_, x, temperature=temperature)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each image, (N,)."""
        probabilities = self.predict_proba(X)  # first: it says if nothing is fitted yet
        return self.classes_[probabilities.argmax(axis=1)]

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a safetensors file, which ``load`` reads in any process.

        It holds the settings, the labels (numbers or strings), the scaling and the parameters, with
        the state of ``partial_fit``'s optimizer. Settings that are functions or objects are named
        only. ValueError for labels of another kind.
        """
        files.save(self, path)

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> "CNNClassifier":
        """Read what ``save`` wrote; runs no code of the file.

        settings: in place of those in the file, such as ``network=`` where that was a function,
        which must be given, or ``optimizer=`` where that was an ``Optimizer``, which ``fit`` alone
        needs: a UserWarning says so. ValueError for any other file.
        """
        return files.load(cls, path, **settings)

    def to_onnx(self, path: str | Path, **options: Any) -> None:
        """Write the fitted network as an ONNX file that takes images as ``predict`` does.

        Input "images" (N, *image_shape_) float32, unscaled: the scaling is in the graph. Output
        "logits" (N, K), not divided by ``temperature_``. The metadata "classes" holds ``classes_``
        as a JSON list. options: of ``export.save_onnx``, such as ``opset``. Needs onnx.
        """
        files.export(self, path, **options)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _draw_seed(self):
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _init_network(self, dtype):
        """Return the model with new params and state."""
        self._seed = self._draw_seed()
        model = self._model()
        try:
            _, params, state = model.init((0, self._seed), self.image_shape_, dtype)
        except ValueError as error:
            raise ValueError(
                f"network={self.network!r} does not fit images of "
                f"{shape_text(self.image_shape_, 'x')}: {error}"
            ) from error
        return model, params, state

    def _model(self):
        """Build the model, which cannot be pickled: an estimator stores params and state only."""
        nn = interpretation(self.engine)
        return build_network(self.network, len(self.classes_), self.image_shape_, self.width, nn)

    def _make_optimizer(self, steps=None):
        """The optimizer, with a cosine schedule over ``steps``; None for a constant rate."""
        if isinstance(self.optimizer, optim.Optimizer):
            return self.optimizer
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(
                "optimizer is 'adam', 'sgd' or an Optimizer, such as optim.adam(1e-3); got "
                f"{self.optimizer!r}"
            )
        rate = self.rate if steps is None else optim.cosine(self.rate, steps, warmup=steps // 20)
        return named_optimizer(self.optimizer, rate, self.weight_decay)


def _train(*args: Any, **options: Any) -> training.Run:
    """``ac.train`` with scikit-learn's ConvergenceWarning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", training.ConvergenceWarning)
        warnings.simplefilter("ignore", UnscaledImages)  # they are scaled by mean and deviation
        run = training.train(*args, **options)
    if run.diagnosis is not None:
        warn(run.diagnosis.text(option="rate="), ConvergenceWarning)
    return run
