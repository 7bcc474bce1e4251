"""A network as a scikit-learn estimator: ``CNNClassifier`` works in Pipeline, cross_val_score and
GridSearchCV.

    from autocnn.sklearn import CNNClassifier CNNClassifier(network="lenet5", epochs=10,
    random_state=0).fit(images, labels).score(more_images, more_labels)

This is the one module that imports scikit-learn: ``pip install 'autocnn[sklearn]'``.
"""

import math
import numbers
from collections.abc import Mapping

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from autocnn import models, optim, training
from autocnn.data.dataset import Dataset
from autocnn.models.interpretations import engine as vocabulary
from autocnn.ops.arguments import whole
from autocnn.runs.recipes import named_optimizer
from autocnn.text import shape_text
from autocnn.training.sample_weight import example_weights
from autocnn.training.step import train_one_pass
from autocnn.trees import leaves

__all__ = ["CNNClassifier"]

HISTORY = {"epoch": "epoch", "loss": "train_loss", "accuracy": "train_acc"}
VALIDATION = {"val_loss": "val_loss", "val_accuracy": "val_acc"}
# the chapter's tiny networks are as small as they can be; "auto" has so many times their filters
# and units
AUTO = 4
# pixels a side from which on "auto" takes an image for a picture rather than for a list of numbers
PICTURE = 8
METRIC_SUBSET = 1000  # training images on which the metrics of ``history_`` are taken


class CNNClassifier(ClassifierMixin, BaseEstimator):
    """Classify images by a network of this project.

    X is images (N, C, H, W), grey images (N, H, W), or flat rows (N, D), as most of scikit-learn
    has them. A row becomes the image of ``image_shape``, (H, W) or (C, H, W); without that a square
    grey image where D is a square, and otherwise an image of one line, 1 x D. Numbers of any range
    will do: they are shifted and scaled as a whole, by the mean and the standard deviation of all
    numbers seen first. Labels are anything that numpy can sort.

    network: "tiny-cnn", "tiny-mlp", "lenet5", "lenet5-1998" (32 x 32 pixels only); or a builder
    such as
        ``ac.models.resnet50``, called with ``classes`` and ``nn``; or "auto", which is tiny-cnn
        with 12 filters for images of at least 8 x 8, and tiny-mlp with 72 units for anything
        smaller, since the columns of a table have no neighbours for a convolution to look at. On
        images that are smaller than its windows, tiny-cnn's are cut to what fits.
    width: factor on the filters and units of a network that is not a builder. optimizer: "adam" or
    "sgd" (Nesterov momentum 0.9), or an ``Optimizer`` of ``autocnn.optim``, which then has its own
        rate. ``fit`` lets ``rate`` rise and fall as a cosine, which needs to know the end;
        ``partial_fit`` keeps it constant.
    engine: which interpretation of the vocabulary drives the network, as on the command line.
    class_weight: None, a dict {label: weight} (1 for a label that it leaves out), or "balanced", by
    which all labels count the
        same. With ``sample_weight`` of ``fit``, a batch's loss is the mean of its examples'
        cross-entropies, weighted by the products of both: ``ac.train``. A sample of weight 0 is as
        good as absent. The data are scaled by the sample weights' mean and standard deviation.
        Weights and repetitions are the same to the last digits where a batch holds all samples;
        smaller batches are drawn from other numbers of them.
    early_stopping: hold out ``validation_fraction`` of the data, the same share of each class, stop
    when
        ``n_iter_no_change`` epochs in a row were not more accurate on it than the best one, and
        take the parameters of that.
    random_state: int, RandomState or None, as everywhere in scikit-learn; an int gives the same
    bits each time. verbose: show a bar while fitting.

    The network computes in float32 for X of float32 or of bytes, and in float64 otherwise.

    Fitted: ``classes_``, ``n_features_in_`` (numbers an image), ``image_shape_`` (C, H, W),
    ``params_`` and ``state_`` (trees), ``history_`` {"epoch", "loss", "accuracy"} on at most 1000
    of the training images, from ``fit`` alone, and "val_loss" and "val_accuracy" with early
    stopping; ``epoch_``, the epoch whose parameters these are. Nothing in the history is weighted.
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

    def fit(self, X, y, sample_weight=None):
        """Train from fresh weights for ``epochs`` passes. Returns self; ValueError for bad data
        or settings.
        """
        x, y, weight = self._first(X, y, None, sample_weight)
        batch_size = whole(self.batch_size, "batch_size")
        model, params, state = self._drawn(x.dtype)
        kept, held = self._split(y)
        n = (
            len(kept) if weight is None else np.count_nonzero(weight[kept])
        )  # the others are as good as absent
        if n == 0:
            raise ValueError(
                "early_stopping held out every sample whose weight is above 0: fewer weights of 0, or without it"
            )
        run = training.train(
            params,
            Dataset(x[kept], y[kept], x[held], y[held], self.classes_),
            model,
            state,
            self._optimizer(steps=-(-n // batch_size) * whole(self.epochs, "epochs")),
            self.epochs,
            batch_size,
            self._seed,
            snapshots=(),
            progress=self.verbose,
            metric_subset=METRIC_SUBSET,
            sample_weight=None if weight is None else weight[kept],
            patience=whole(self.n_iter_no_change, "n_iter_no_change")
            if self.early_stopping
            else None,
            restore="best" if self.early_stopping else "last",
        )
        self.params_, self.state_, self.epoch_, self._opt_state = (
            run.params,
            run.state,
            run.epoch,
            None,
        )
        columns = HISTORY | (VALIDATION if self.early_stopping else {})
        self.history_ = {ours: run.history[theirs] for ours, theirs in columns.items()}
        return self

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one pass over X, in its order. The first call needs all ``classes``, unless
        ``fit`` came before.

        Each call goes on with the optimizer's momenta of the last one; nothing is held out. Returns
        self.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit cannot balance classes that it sees in parts: class_weight={label: weight, ...}"
            )
        if hasattr(self, "params_"):
            if classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
                raise ValueError(
                    f"classes={classes!r} is not the same as on the last call to partial_fit, {self.classes_!r}"
                )
            x, y = self._again(X, y)
            weight = self._weights(y, sample_weight)
            model, params, state = self._model(), self.params_, self.state_
        else:
            if classes is None:
                raise ValueError(
                    "the first call of partial_fit needs all labels: partial_fit(X, y, classes=np.unique(all_y))"
                )
            x, y, weight = self._first(X, y, classes, sample_weight)
            model, params, state = self._drawn(x.dtype)
        optimizer = self._optimizer()
        opt_state = (
            optimizer.init(params) if getattr(self, "_opt_state", None) is None else self._opt_state
        )
        self.params_, self.state_, self._opt_state = train_one_pass(
            model,
            params,
            state,
            optimizer,
            opt_state,
            (x, y, weight),
            whole(self.batch_size, "batch_size"),
            self._seed,
        )
        return self

    def predict_proba(self, X):
        """Return the probability of each of ``classes_``, (N, K)."""
        check_is_fitted(self, "params_")
        return training.predict(self._model(), self.params_, self.state_, self._again(X)[0])

    def predict(self, X):
        """Return the most probable label of each image, (N,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _first(self, X, y, classes, sample_weight):
        """Learn the labels, the images' shape and their scale; return images (N, C, H, W),
        labels as indices (N,), weights.
        """
        shape = _image_shape(X)
        rows, y = validate_data(self, _flat(X), y, dtype=_float(X))
        check_classification_targets(y)
        self.classes_ = np.unique(y) if classes is None else unique_labels(classes)
        self.image_shape_ = shape or self._shape_of_rows(rows.shape[1])
        y = self._indices(y)
        self._mean, scale = _mean_and_spread(
            rows, example_weights(y, len(self.classes_), sample_weight)
        )
        self._scale = scale or 1.0
        return self._scaled(rows), y, self._weights(y, sample_weight)

    def _weights(self, y, sample_weight):
        """How much each of the samples counts, (N,), None where all count the same;
        ``class_weight`` is by labels.
        """
        by_class = self.class_weight
        if isinstance(by_class, Mapping):
            unknown = [label for label in by_class if label not in self.classes_.tolist()]
            if unknown:
                raise ValueError(
                    f"class_weight names labels that are not among the classes {self.classes_}: {unknown}"
                )
            by_class = [by_class.get(label, 1.0) for label in self.classes_.tolist()]
        return example_weights(y, len(self.classes_), sample_weight, by_class)

    def _split(self, y):
        """The indices of the samples to train on and of those held out, of which there is one at
        least.
        """
        everything, share = np.arange(len(y)), self.validation_fraction
        if not self.early_stopping:
            return everything, everything[
                :1
            ]  # nothing is held out: that is cross-validation's business
        if not isinstance(share, numbers.Real) or not 0 < share < 1:
            raise ValueError(
                f"validation_fraction is a share between 0 and 1, such as 0.1; got {share!r}"
            )
        count = max(math.ceil(share * len(y)), len(np.unique(y)))  # one of each class, at least
        try:
            kept, held = train_test_split(
                everything, test_size=count, random_state=self._seed, stratify=y
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping: {count} of {len(y)} samples cannot be held out: {error}"
            ) from None
        return np.sort(kept), np.sort(held)

    def _again(self, X, y="no_validation"):
        """Images, and labels as indices if there are any, for a network that has been fitted."""
        shape = _image_shape(X)
        if shape not in (None, self.image_shape_):
            raise ValueError(
                f"X has images of shape {shape}, but the network was fitted to images of {self.image_shape_}"
            )
        found = validate_data(
            self, _flat(X), y, reset=False, dtype=leaves(self.params_)[0][1].dtype
        )
        rows, *labels = found if isinstance(found, tuple) else (found,)
        return self._scaled(rows), *map(self._indices, labels)

    def _scaled(self, rows):
        """Rows (N, D) as images (N, C, H, W), shifted and scaled, in the same dtype."""
        number = rows.dtype.type
        return ((rows - number(self._mean)) / number(self._scale)).reshape(-1, *self.image_shape_)

    def _indices(self, y):
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has labels that are not among the classes {self.classes_}: {unknown}"
            )
        return np.searchsorted(self.classes_, y)

    def _shape_of_rows(self, d):
        """The image (C, H, W) that a row of d numbers stands for."""
        if self.image_shape is None:
            side = math.isqrt(d)
            return (1, side, side) if side * side == d else (1, 1, d)
        shape = tuple(whole(n, "image_shape: each size") for n in self.image_shape)
        if len(shape) not in (2, 3) or math.prod(shape) != d:
            raise ValueError(
                f"image_shape={self.image_shape} must be (H, W) or (C, H, W) and make up the {d} numbers of a row"
            )
        return shape if len(shape) == 3 else (1, *shape)

    def _drawn(self, dtype):
        """The network with fresh weights: model, params, state."""
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        model = self._model()
        try:
            _, params, state = model.init((0, self._seed), self.image_shape_, dtype)
        except ValueError as error:
            size = shape_text(self.image_shape_, "x")
            raise ValueError(
                f"network={self.network!r} does not fit images of {size}: {error}"
            ) from error
        return model, params, state

    def _model(self):
        """Build the network. It is made of closures, which do not pickle, so that an estimator
        keeps its trees only.
        """
        _, height, width = self.image_shape_
        network, classes, nn = self.network, len(self.classes_), vocabulary(self.engine)
        if callable(network):
            if self.width != 1:
                raise ValueError(
                    "a builder takes its width itself: network=functools.partial(builder, width=...)"
                )
            return network(classes=classes, nn=nn)
        if not isinstance(self.width, numbers.Real):
            raise ValueError(f"width is a factor such as 0.5 or 2; got {self.width!r}")
        # A float, since to a builder an int would be the number of filters of the first stage.
        network, factor = str(network).replace("_", "-"), float(self.width)
        if network == "auto":
            network, factor = (
                "tiny-cnn" if min(height, width) >= PICTURE else "tiny-mlp",
                AUTO * factor,
            )
        model = models.build(network, classes, factor, nn)
        if (
            network == "tiny-cnn" and min(height, width) < 4
        ):  # smaller than a window of the pool over windows of the kernel
            kernel = min(3, height), min(3, width)
            pool = min(2, height - kernel[0] + 1), min(2, width - kernel[1] + 1)
            return models.tiny_cnn(
                classes, model.parts[0].options["filters"], kernel, pool=pool, nn=nn
            )
        return model

    def _optimizer(self, steps=None):
        """The optimizer, its rate rising and falling within so many steps, or constant."""
        if isinstance(self.optimizer, optim.Optimizer):
            return self.optimizer
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(
                "optimizer is 'adam', 'sgd' or an Optimizer, such as optim.adam(1e-3); got "
                f"{self.optimizer!r}"
            )
        rate = self.rate if steps is None else optim.cosine(self.rate, steps, warmup=steps // 20)
        return named_optimizer(self.optimizer, rate, self.weight_decay)


def _mean_and_spread(rows, weights=None):
    """The mean and the standard deviation of all numbers in rows (N, D), each row weighted by
    ``weights`` (N,).
    """
    if weights is None:
        return float(rows.mean(dtype=float)), float(rows.std(dtype=float))
    mean = float(np.average(rows.mean(axis=1, dtype=float), weights=weights))
    squares = ((rows - mean) ** 2).mean(axis=1, dtype=float)
    return mean, float(np.average(squares, weights=weights)) ** 0.5


def _image_shape(X):
    """The shape (C, H, W) of images (N, C, H, W) or (N, H, W); None for rows, and for whatever
    is to be refused as rows.
    """
    shape = np.shape(X) if hasattr(X, "shape") or isinstance(X, (list, tuple)) else ()
    return {3: (1, *shape[1:]), 4: tuple(shape[1:])}.get(len(shape))


def _flat(X):
    """Images as rows (N, D); anything else as it is."""
    shape = _image_shape(X)
    return X if shape is None else np.asarray(X).reshape(len(X), math.prod(shape))


def _float(X):
    """The dtype to compute in: float32 for what a float32 holds exactly, such as bytes, and
    float64 otherwise.
    """
    return np.float32 if np.can_cast(getattr(X, "dtype", np.float64), np.float32) else np.float64
