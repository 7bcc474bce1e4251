"""Layer: the vocabulary's layer with a way back of its own.

A fast word's ``forward`` carries two more functions. ``forward.pull`` is the fast interpretation:

    y, state, back = pull(params, state, x, train, key, need)
    dx, dparams = back(dy)

``need`` says what will be asked of ``back``: None nothing at all, False no dx (the first layer's
input has no use for it), True everything. ``forward.plain`` is the word of ``autocnn.layers``, by
which autograd derives whatever the fast way cannot: higher derivatives, forward mode, other dtypes.
A layer whose forward is replaced loses both, and is differentiated by autograd like any function.
"""

import numpy as np
from autograd.tracer import trace_stack

from autocnn import autodiff
from autocnn import layers as plain_layers
from autocnn.fast.kernels import thread_context
from autocnn.fast.loss import cross_entropy_pull
from autocnn.fast.tape import differentiable, isbox
from autocnn.layers import checks
from autocnn.trees import leaves, unflatten

__all__ = ["Layer", "fast_layer", "pull_of"]


class Layer(plain_layers.Layer):
    """A layer or network whose gradients go through given derivatives: the methods are those of
    ``autocnn.layers.Layer``.
    """

    __slots__ = ()

    def apply(self, params, state, x, train=False, key=None):
        """Compute the output for a batch x (N, *shape). Returns (y, state):
        ``autocnn.layers.Layer.apply``.
        """
        with thread_context():
            return super().apply(autodiff.opened(params), state, x, train, key)

    def vjp(self, params, state, x, train=False, key=None):
        """Return (y, state, backward), where backward(dy) returns (dx, dparams): the products of
        dy with the Jacobians.
        """
        params = autodiff.opened(params)
        if _traced(params, state, x):
            return super().vjp(params, state, x, train, key)
        checks.call(self, params, state, x)
        y, after, back = pull_of(self)(params, state, x, train, key, True)

        def backward(dy):
            dy = checks.cotangent(dy, y)
            if isbox(dy):
                return super(Layer, self).vjp(params, state, x, train, key)[2](dy)
            return back(np.asarray(dy, y.dtype))

        return y, after, backward

    def loss_and_grad(self, params, state, batch, key=None, train=True):
        """Return (loss, grads, state) for a batch (x, labels[, weights]):
        ``autocnn.layers.Layer.loss_and_grad``.
        """
        params, (x, labels, *weights) = autodiff.opened(params), checks.batch(batch)
        if _traced(params, state, x):
            return super().loss_and_grad(params, state, batch, key, train)
        checks.labels(labels, len(x), checks.call(self, params, state, x, "f"))
        share = checks.share(weights, len(x))
        with thread_context():
            logits, state, back = pull_of(self)(params, state, x, train, key, False)
            loss, dlogits = cross_entropy_pull(logits, labels, share)
            _, grads = getattr(back, "spend", back)(dlogits)
        return loss, grads, state


def fast_layer(plain, pull, parts=()):
    """Make a fast layer: the plain layer's name, options and init, and a forward that goes
    through ``pull``.
    """
    slow = plain.forward

    def forward(params, state, x, train, key):
        if not _traced(params, state, x):
            y, state, _ = pull(params, state, x, train, key, None)
            return y, state
        if any(isbox(leaf) for _, leaf in leaves(state)):
            return slow(params, state, x, train, key)

        def traced_pull(args, wanted):
            tree = unflatten(params, args[1:])
            y, after, back = pull(tree, state, args[0], train, key, 0 in wanted if wanted else None)

            def grads(dy):
                dx, dparams = back(dy)
                return [dx, *(leaf for _, leaf in leaves(dparams))]

            return y, after, grads

        def traced_plain(args):
            return slow(unflatten(params, args[1:]), state, args[0], train, key)

        return differentiable(traced_pull, traced_plain, [x, *(leaf for _, leaf in leaves(params))])

    forward.pull = pull
    forward.plain = slow
    return Layer(plain.name, plain.options, plain.init, forward, tuple(parts))


def pull_of(layer):
    """Return the layer's pull; one derived by autograd for a layer that brings none."""
    return getattr(layer.forward, "pull", None) or derived(layer.forward)


def derived(forward):
    """Make a pull of any forward function, by autograd."""

    def pull(params, state, x, train, key, need):
        if need is None:
            return (*forward(params, state, x, train, key), None)
        if need:
            return autodiff.vjp(lambda x, params: forward(params, state, x, train, key), x, params)
        y, state, back = autodiff.vjp(lambda params: forward(params, state, x, train, key), params)
        return y, state, lambda dy: (None, *back(dy))

    return pull


def _traced(params, state, x):
    if trace_stack.top < 0:  # nobody is differentiating
        return False
    return (
        isbox(x)
        or any(isbox(leaf) for _, leaf in leaves(params))
        or any(isbox(leaf) for _, leaf in leaves(state))
    )
