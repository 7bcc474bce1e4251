"""Layer with derivatives of its own: fused kernels forward and backward, NumPy or Numba.

A fast word is one function

    f(o, params, state, x, train, key, keep) -> (y, state, backward)
    backward(dy, need_dx=True, consume=False) -> (dx, dparams)

``keep`` says whether backward will be called; without it, nothing is kept, and backward is None.
``need_dx=False`` leaves out dx, which the first layer's input has no use for. ``consume=True``
gives up each layer's arrays as soon as it is done: such a backward is called once only.

To autograd a fast layer is one node whose derivative is given. What the kernels cannot do, higher
derivatives, forward mode or other dtypes, is left to the word of ``autocnn.layers``, derived by
autograd: slower, never wrong.
"""

from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace

import numpy as np
from autograd.tracer import trace_stack

from autocnn import autodiff, layers
from autocnn.fast import plans
from autocnn.fast.arrays import supports
from autocnn.fast.kernels import thread_context
from autocnn.fast.loss import loss_and_gradient
from autocnn.fast.tape import differentiable, isbox
from autocnn.trees import leaves, unflatten

__all__ = ["Layer", "by_autograd", "by_kernels", "fast_layer", "plain_word"]


class Layer(layers.Layer):
    """A layer or network of ``autocnn.layers`` whose gradients go through given derivatives."""

    _context = staticmethod(thread_context)

    @classmethod
    def _check_part(cls, word, part):
        layers.Layer._check_part(word, part)  # plain layers are welcome, derived by autograd

    def pullback(self, params, state, x, train, key):
        """Compute (y, state, backward) by kernels, or by autograd where they cannot; no checks."""
        if self.backprop is None or is_traced(params, state, x):
            return by_autograd(self.forward, params, state, x, train, key)
        y, after, back = self.backprop(params, state, x, train, key)

        def backward(dy, need_dx=True, consume=False):
            if isbox(dy):
                return by_autograd(self.forward, params, state, x, train, key)[2](dy)
            return back(np.asarray(dy, y.dtype), need_dx, consume)

        return y, after, backward

    def _apply(self, params, state, x, train, key):
        found = None
        if not is_traced(params, state, x):
            found = plans.apply(self, params, state, x, train, key)
        return self.forward(params, state, x, train, key) if found is None else found

    def _loss_and_grad(self, params, state, x, targets, weights, loss, train, key):
        if is_traced(params, state, x):
            return super()._loss_and_grad(params, state, x, targets, weights, loss, train, key)
        found = plans.loss_and_grad(self, params, state, x, targets, weights, loss, train, key)
        if found is not None:
            return found
        y, after, backward = self.pullback(params, state, x, train, key)
        value, dy = loss_and_gradient(loss, y, targets, weights)
        _, grads = backward(dy, need_dx=False, consume=True)
        return value, grads, after


def by_autograd(forward: Callable, params, state, x, train, key, keep: bool = True):
    """Compute (y, state, backward) of a forward pass by autograd, with a fast word's backward."""
    if not keep:
        return *forward(params, state, x, train, key), None
    run = lambda x, params: forward(params, state, x, train, key)  # noqa: E731
    y, after, back = autodiff.vjp(run, x, params)
    return y, after, lambda dy, need_dx=True, consume=False: back(dy)


def by_kernels(plain: Callable) -> Callable:
    """Make a fast word from the word of ``autocnn.layers`` and a function f as above.

    f is called for float32 or float64 arrays of one dtype; others go through the plain word.
    """

    def decorate(f):
        @wraps(plain)
        def word(*args, **kwargs) -> Layer:
            base = plain(*args, **kwargs)
            o = SimpleNamespace(**base.options)

            def run(params, state, x, train, key, keep):
                if supports(x, *params.values(), *state.values()):
                    return f(o, params, state, x, train, key, keep)
                return by_autograd(base.forward, params, state, x, train, key, keep)

            return fast_layer(base, run, word)

        word.__module__ = f.__module__
        return word

    return decorate


def plain_word(word: Callable) -> Callable:
    """Make a fast word without kernels: the plain word, derived by autograd."""

    @wraps(word)
    def fast_word(*args, **kwargs) -> Layer:
        base = word(*args, **kwargs)
        return fast_layer(base, lambda *arguments: by_autograd(base.forward, *arguments), fast_word)

    return fast_word


def fast_layer(base: layers.Layer, run: Callable, word: Callable) -> Layer:
    """Make a fast layer of ``base`` from ``run(params, state, x, train, key, keep)``."""

    def forward(params, state, x, train, key):
        if not is_traced(params, state, x):
            return run(params, state, x, train, key, False)[:2]
        if any(isbox(leaf) for _, leaf in leaves(state)):
            return base.forward(params, state, x, train, key)

        def traced_run(args, wanted):
            tree = unflatten(params, args[1:])
            y, after, back = run(tree, state, args[0], train, key, bool(wanted))

            def grads(dy):
                dx, dparams = back(dy, 0 in wanted)
                return [dx, *(leaf for _, leaf in leaves(dparams))]

            return y, after, grads

        def traced_plain(args):
            return base.forward(unflatten(params, args[1:]), state, args[0], train, key)

        return differentiable(traced_run, traced_plain, [x, *(leaf for _, leaf in leaves(params))])

    return Layer(
        base.name, base.options, base.init, forward, base.parts,
        backprop=lambda *arguments: run(*arguments, True),
        steps=base.steps, draws=base.draws, multiply_adds=base.multiply_adds, word=word,
    )  # fmt: skip


def is_traced(params, state, x) -> bool:
    """Whether autograd is tracing any of these."""
    if trace_stack.top < 0:  # no differentiation is going on
        return False
    return isbox(x) or any(isbox(leaf) for tree in (params, state) for _, leaf in leaves(tree))
