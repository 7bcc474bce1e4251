"""Layer: what every word of the vocabulary returns, and what a whole network is.

    out_shape, params, state = layer.init(key, shape, dtype)      shapes are (C, H, W) or (D,)
    y, state = layer.forward(params, state, x, train, key)        x has a batch axis in front
    y, state, backward = layer.vjp(params, state, x, train, key)  dx, dparams = backward(dy)

``backward`` is a closure over what it needs from the forward pass, so it cannot be called in the
wrong order, and nothing can be overwritten in between. dy has the shape of y, dx that of x, and
dparams is a tree like params: dx = sum_j dy_j dy_j / dx.

``forward`` trusts its arguments; ``apply``, ``vjp`` and ``loss_and_grad`` check them first.
``init`` with the key None draws nothing: its arrays are read-only and take no memory.
"""

import importlib
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from types import SimpleNamespace
from typing import Any, NamedTuple

from reference import loss as losses
from reference import own, validate
from reference.arguments import float_type, shape_of_one
from reference.origin import draw

__all__ = ["Declaration", "Layer", "by_hand"]

_FUNCTIONS = {"init", "forward", "backprop"}


class Declaration(NamedTuple):
    """What a word says before any interpretation computes with it.

    name: the word. options: its arguments, checked. init: function (key, shape, dtype) that
    returns (out_shape, params, state). parts: the layers that it is made of. steps: where the
    trees of the parts are inside its own, one key a part. draws: whether its forward pass draws
    random numbers in training. multiply_adds: function (shape, out_shape) that counts the
    multiply-adds for one example, None for none.
    """

    name: str
    options: dict[str, Any]
    init: Callable
    parts: tuple = ()
    steps: tuple = ()
    draws: bool = False
    multiply_adds: Callable[[tuple, tuple], int] | None = None

    @property
    def arguments(self) -> SimpleNamespace:
        """The options as attributes, and the parts: what an implementation is given."""
        return SimpleNamespace(**self.options, parts=self.parts, steps=self.steps)


class Layer:
    """A layer or a network.

    name, options: the word that made it, and its arguments. parts: the layers it is made of;
    ``children`` pairs them with their places in the trees. init and forward: see above.
    word: the function that made it, None for one of your own. is_as_declared: whether word makes
    this very layer, which it does not after ``replace`` of a function.
    backprop: function (params, state, x, train, key) that returns (y, state, backward), the
    derivative by hand; None where autograd derives it.
    """

    def __init__(
        self,
        name: str,
        options: dict[str, Any],
        init: Callable,
        forward: Callable | None = None,
        parts: tuple = (),
        *,
        backprop: Callable | None = None,
        steps: tuple | None = None,
        draws: bool = True,
        multiply_adds: Callable[[tuple, tuple], int] | None = None,
        word: Callable | None = None,
    ):
        """Make a layer of pure functions. ``forward`` may be left out where ``backprop`` is given.

        A layer of your own needs only name, options, init and forward (``autocnn.layers``) or
        backprop (``reference``).
        """
        if forward is None and backprop is None:
            raise ValueError(f"layer {name!r} needs forward= or backprop=")
        self.name, self.options, self.parts = name, options, tuple(parts)
        self.word = word
        if word is None:  # of your own
            forward, backprop = self._checked_passes(init, forward, backprop)
        self.init, self.backprop = self._checked(init), backprop
        self.forward = forward or (lambda *arguments: backprop(*arguments)[:2])
        self.steps = tuple(range(len(self.parts))) if steps is None else steps
        self.draws, self.multiply_adds = draws, multiply_adds
        self.is_as_declared = word is not None

    @classmethod
    def of(cls, declaration: Declaration, word, forward=None, backprop=None) -> "Layer":
        """Make the layer of a declaration. ``word(*parts, **options)`` makes it again."""
        name, options, init, parts, steps, draws, count = declaration
        for part in parts:
            cls._check_part(name, part)
        draws = draws or any(part.draws for part in parts)
        extra = dict(backprop=backprop, steps=steps, draws=draws, multiply_adds=count, word=word)
        return cls(name, options, init, forward, parts, **extra)

    @classmethod
    def _check_part(cls, word, part):
        if not isinstance(part, cls):
            name = getattr(part, "__name__", None)
            hint = f"parts are layers of {cls.__module__.rpartition('.')[0]}, such as relu()"
            if isinstance(part, Layer):
                name = f"a layer of {type(part).__module__.rpartition('.')[0]}, {part!r:.40}"
            elif callable(part) and name:
                hint = f"call it: {name}()"
            raise ValueError(
                f"{word} got {name or repr(part)[:60]}, which is not a layer of this vocabulary; "
                f"{hint}"
            )

    def replace(self, **changes: Any) -> "Layer":
        """Return the layer with other functions or options.

        A replaced ``forward`` is differentiated by autograd: the old backprop does not belong to
        it. ``is_as_declared`` is then False: the word would make another layer.
        """
        fields = dict(
            name=self.name, options=self.options, init=self.init, forward=self.forward,
            parts=self.parts, backprop=self.backprop, steps=self.steps, draws=self.draws,
            multiply_adds=self.multiply_adds, word=self.word,
        )  # fmt: skip
        if "forward" in changes:
            fields["backprop"] = None
        layer = type(self)(**(fields | changes))
        layer.is_as_declared = self.is_as_declared and not _FUNCTIONS & changes.keys()
        return layer

    _replace = replace
    _context = staticmethod(nullcontext)  # in which a network's kernels run

    is_by_hand = True  # its gradient is ``backprop`` alone; autograd derives nothing

    def children(self) -> list[tuple[Any, "Layer"]]:
        """List the parts as (step, layer), with the trees ``params[step]`` and ``state[step]``."""
        return list(zip(self.steps, self.parts, strict=True))

    def apply(self, params, state, x, train: bool = False, key=None):
        """Compute the output for a batch.

        params, state: trees from ``init``. x: (N, *shape) of finite floats. train: turn on
        dropout, which then needs ``key`` (an int seed or a tuple of ints), and batch statistics.
        Returns (y, state): y (N, *out_shape) and the state afterwards. Raises ValueError when x
        or the trees do not fit the network, or are not finite.
        """
        params = self._open(params)
        validate.call(self, params, state, x)
        with self._context():
            return self._apply(params, state, x, train, key)

    def vjp(self, params, state, x, train: bool = False, key=None):
        """Compute the output and the way back: vector-Jacobian products.

        Arguments and errors as in ``apply``. Returns (y, state, backward); ``backward(dy)`` with
        dy of the shape of y returns (dx, dparams).
        """
        params = self._open(params)
        validate.call(self, params, state, x)
        with self._context():
            y, state, back = self.pullback(params, state, x, train, key)

        def backward(dy):
            with self._context():
                return back(validate.cotangent(dy, y))

        return y, state, backward

    def loss_and_grad(
        self, params, state, batch, key=None, train: bool = True, loss=losses.cross_entropy
    ):
        """Compute the loss of a batch and its gradient.

        batch: (x, targets) or (x, targets, weights). x is (N, *shape); the targets are what
        ``loss`` takes, by default labels (N,) of ints; weights are N numbers, 0 or more and not
        all 0. loss: a ``Loss``, ``cross_entropy`` or ``mse``. key, train: as in ``apply``.

        The loss is the mean over the examples' losses l_n, or with weights
        sum_n w_n l_n / sum_n w_n. Returns (loss, grads, state); grads is a tree like params.
        Raises ValueError for bad arguments.
        """
        params, (x, targets, *weights) = self._open(params), validate.batch(batch)
        out_shape = validate.call(self, params, state, x, "f")
        if not isinstance(loss, losses.Loss):
            raise ValueError(f"loss is a Loss, such as cross_entropy or mse; got {loss!r}")
        targets = loss.check(targets, len(x), out_shape)
        weights = validate.example_weights(weights, len(x))
        with self._context():
            return self._loss_and_grad(params, state, x, targets, weights, loss, train, key)

    def _open(self, params):
        return params

    def _apply(self, params, state, x, train, key):
        return self.forward(params, state, x, train, key)

    def pullback(self, params, state, x, train, key):
        """Compute what ``vjp`` does, without checks: for networks that call their parts."""
        if self.backprop is None:
            raise ValueError(
                f"layer {self.name!r} has no backward pass: make it with backprop=, a function "
                "(params, state, x, train, key) that returns (y, state, backward)"
            )
        return self.backprop(params, state, x, train, key)

    def _loss_and_grad(self, params, state, x, targets, weights, loss, train, key):
        y, state, backward = self.pullback(params, state, x, train, key)
        value, dy = losses.loss_and_gradient(loss, y, targets, weights)
        _, grads = backward(dy)
        return value, grads, state

    def _checked(self, init):
        """Wrap ``init`` so that it gets a tuple of ints as shape and a dtype of floats, and so that
        the arrays that it draws are known as this layer's.
        """
        init = getattr(init, "unchecked", init)

        @wraps(init)
        def checked(key, shape, dtype="float64"):
            drawn = draw(self, init, key, shape_of_one(shape), float_type(dtype))
            return drawn if self.word is not None else own.check_drawn(self.name, drawn)

        checked.unchecked = init
        return checked

    def _checked_passes(self, init, forward, backprop):
        """Wrap the functions of a layer of your own so that mistakes in them are explained."""
        own.check_signature(self.name, "init", getattr(init, "unchecked", init), 3)
        passes = []
        for what, function in (("forward", forward), ("backprop", backprop)):
            if function is not None:
                function = getattr(function, "unchecked", function)
                own.check_signature(self.name, what, function, 5)
                function = own.checked_pass(self, what, function)
            passes.append(function)
        return passes

    def __reduce__(self):
        """Pickle a layer as the word that makes it, one of your own by its functions."""
        package = type(self).__module__.rpartition(".")[0]
        if self.is_as_declared:
            found = getattr(sys.modules.get(package), self.name, None)
            if self.word in (found, getattr(found, "__wrapped__", found)):
                return _make, (package, self.name, self.parts, self.options)
            name = self.word.__qualname__
            if getattr(sys.modules.get(self.word.__module__), name, None) is self.word:
                return _make, (self.word.__module__, name, self.parts, self.options)
        fields = {key: getattr(v, "unchecked", v) for key, v in self.__dict__.items()}
        if self.backprop is not None and not hasattr(self.forward, "unchecked"):
            fields["forward"] = None  # it is made of backprop
        return _restore, (type(self), fields)

    def __repr__(self):
        inside = [repr(p) for p in self.parts] + [f"{k}={v!r}" for k, v in self.options.items()]
        return f"{self.name}({', '.join(inside)})"


def _make(module, name, parts, options):
    return getattr(importlib.import_module(module), name)(*parts, **options)


def _restore(kind, fields):
    is_as_declared = fields.pop("is_as_declared")
    layer = kind(**fields)
    layer.is_as_declared = is_as_declared
    return layer


def by_hand(declare: Callable[..., Declaration]) -> Callable:
    """Make a word of this vocabulary from its declaration and its backward pass by hand.

    The decorated function is ``f(o, params, state, x, train, key) -> (y, state, backward)``; o
    has the word's options as attributes.
    """

    def decorate(f):
        @wraps(declare)
        def word(*args, **kwargs):
            declaration = declare(*args, **kwargs)
            o = declaration.arguments
            return Layer.of(declaration, word, backprop=lambda *arguments: f(o, *arguments))

        word.__doc__ = f"{declare.__doc__.rstrip()}\n\n    {f.__doc__.strip()}\n    "
        word.__module__ = f.__module__
        return word

    return decorate
