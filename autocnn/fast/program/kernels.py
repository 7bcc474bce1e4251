"""The layers' kernels, forward and backward, for the images of one block, an image in each lane.

A kernel is given a row of ints, ``o``, that says where its arrays are and how large; ``layout.ROW``
has their names. Arrays of cells, in ``values``, are (C, H, W); the gradient of a value is at its
own place in ``slopes``. Parameters and their gradients are numbers in ``params`` and ``grads``.
Gradients of parameters are added to what is there, those of values are written.

Padding is a step of its own, so that no other kernel has edges. Sums over cells are kept in
registers, of several filters or units at a time, each of which is multiplied by the one vector that
was read.
"""

from autocnn.fast.program import conv, pool
from autocnn.fast.program.common import add_to, as_list, bias_in_all_lanes, in_blocks
from autocnn.fast.program.layout import LANES
from autocnn.fast.program.vectors import Writer

__all__ = ["KERNELS"]


def dense_forward(k: Writer, o, params, values):
    """y[f] = b[f] + sum_d w[d, f] x[d]."""

    def block(first, n):
        def feature(d, *sums):
            x, w = values.lanes(o.x + d), o.weights + d * o.f + first
            return [k.fma(params[w + a].splat(), x, s) for a, s in enumerate(sums)]

        starts = [bias_in_all_lanes(k, o, params, first + a) for a in range(n)]
        for a, s in enumerate(as_list(k.loop(o.c, feature, *starts))):
            values.put(o.y + first + a, s)

    in_blocks(k, o.f, block)


def dense_backward(k: Writer, o, params, grads, values, slopes):
    """dw[d, f] = sum x[d] dy[f] over images, like db = sum dy; dx[d] = sum_f w[d, f] dy[f]."""
    full = o.f / LANES

    def units(i):  # as many as a vector has lanes: its lanes are units here, and the images a sum
        first = i * LANES
        outer = [_turned(k, slopes, o.y + first, image) for image in range(LANES)]

        def feature(d):
            dw, x = grads.at(o.weights + d * o.f + first), values.at((o.x + d) * LANES)
            total = dw.vector()
            for image, dy in enumerate(outer):
                total = k.fma(x[image].splat(), dy, total)
            dw.set_vector(total)

        k.loop(o.c, feature)

    def unit(i):
        f = full * LANES + i
        dy = slopes.lanes(o.y + f)

        def feature(d):
            add_to(grads, o.weights + d * o.f + f, (values.lanes(o.x + d) * dy).total())

        k.loop(o.c, feature)

    k.loop(full, units, may_be_empty=True)
    k.loop(o.f - full * LANES, unit, may_be_empty=True)
    k.when(
        o.bias.compare(">=", 0),
        lambda: k.loop(o.f, lambda f: add_to(grads, o.bias + f, slopes.lanes(o.y + f).total())),
    )

    def inputs(first, n):
        w = o.weights + first * o.f

        def unit(f, *sums):
            dy = slopes.lanes(o.y + f)
            return [k.fma(params[w + o.f * a + f].splat(), dy, s) for a, s in enumerate(sums)]

        for a, dx in enumerate(as_list(k.loop(o.f, unit, *[k.zero] * n))):
            slopes.put(o.x + first + a, dx)

    k.when(o.need_dx.compare(">", 0), lambda: in_blocks(k, o.c, inputs))


def _turned(k, cells, first, image):
    """Return the vector of one image's numbers in as many cells as there are lanes."""
    start = cells.at(first * LANES + image)
    vector = k.zero
    for lane in range(LANES):
        vector = vector.with_lane(lane, start[lane * LANES])
    return vector


def _elementwise(value, slope):
    """Return the kernels of y = value(k, x) and dx = slope(k, dy, y), over c cells."""

    def forward(k: Writer, o, params, values):
        k.loop(o.c, lambda i: values.put(o.y + i, value(k, values.lanes(o.x + i))))

    def backward(k: Writer, o, params, grads, values, slopes):
        def cell(i):
            slopes.put(o.x + i, slope(k, slopes.lanes(o.y + i), values.lanes(o.y + i)))

        k.loop(o.c, cell)

    return forward, backward


def _relu(k, x):
    return x.compare("<=", 0).choose(k.zero, x)  # NaN stays


def _relu_slope(k, dy, y):
    return y.compare(">", 0).choose(dy, k.zero)


def _relu6(k, x):
    return x.compare("<=", 0).choose(k.zero, x.compare(">=", 6).choose(k.value(6, k.vector), x))


def _relu6_slope(k, dy, y):
    below = y.compare("<", 6).choose(dy, k.zero)
    return y.compare(">", 0).choose(below, k.zero)


def tanh_forward(k: Writer, o, params, values):
    """y = tanh x, number by number: libm has no vectors."""
    name, start = "tanh" if k.itemsize == 8 else "tanhf", o.y * LANES
    x = values.at(o.x * LANES)

    def number(i):
        values[start + i] = k.call(name, x[i])

    k.loop(o.c * LANES, number)


def _tanh_slope(k, dy, y):
    return dy * (k.value(1, k.vector) - y * y)


def dropout_forward(k: Writer, o, params, values):
    """y = mask x; the mask lies behind the images, at z."""
    k.loop(o.c, lambda i: values.put(o.y + i, values.lanes(o.x + i) * values.lanes(o.z + i)))


def dropout_backward(k: Writer, o, params, grads, values, slopes):
    """dx = mask dy."""
    k.loop(o.c, lambda i: slopes.put(o.x + i, slopes.lanes(o.y + i) * values.lanes(o.z + i)))


KERNELS = {
    "conv": (conv.conv_forward, conv.conv_backward),
    "dense": (dense_forward, dense_backward),
    "max_pool": (pool.max_pool_forward, pool.max_pool_backward),
    "avg_pool": (pool.avg_pool_forward, pool.avg_pool_backward),
    "pad": (pool.pad_forward, pool.pad_backward),
    "relu": _elementwise(_relu, _relu_slope),
    "relu6": _elementwise(_relu6, _relu6_slope),
    "tanh": (tanh_forward, _elementwise(None, _tanh_slope)[1]),
    "dropout": (dropout_forward, dropout_backward),
}
