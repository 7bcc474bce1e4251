"""Pooling and padding, forward and backward; ``kernels`` says what a kernel is given."""

from autocnn.fast.program.common import clear
from autocnn.fast.program.vectors import Value, Writer

__all__ = [
    "avg_pool_backward",
    "avg_pool_forward",
    "max_pool_backward",
    "max_pool_forward",
    "pad_backward",
    "pad_forward",
]


def max_pool_forward(k: Writer, o, params, values):
    """The first maximum of each window, and its place u kw + v in z. NaN stays: nothing is larger,
    and it is not smaller than anything.
    """

    def window(at, corner):
        def cell(u, v, best, which):
            x = values.lanes(corner + u * o.w + v)
            larger = Value(k, k.builder.fcmp_unordered(">", x.of, best.of))
            number = Value(k, k.builder.fcmp_ordered("ord", best.of, best.of))
            better = Value(k, k.builder.and_(larger.of, number.of))
            place = (u * o.kw + v).to_number().splat()
            return better.choose(x, best), better.choose(place, which)

        best, which = k.loop(
            o.kh,
            lambda u, *kept: k.loop(o.kw, lambda v, *kept: cell(u, v, *kept), *kept),
            k.value(float("-inf"), k.vector),
            k.zero,
        )
        values.put(o.y + at, best)
        values.put(o.z + at, which)

    _windows(k, o, window)


def max_pool_backward(k: Writer, o, params, grads, values, slopes):
    """dy is added where each window's first maximum was."""
    clear(k, slopes, o.x, o.c * o.h * o.w)

    def window(at, corner):
        dy, which = slopes.lanes(o.y + at), values.lanes(o.z + at)

        def cell(u, v):
            place = (u * o.kw + v).to_number().splat()
            dx = slopes.lanes(corner + u * o.w + v)
            slopes.put(corner + u * o.w + v, dx + which.compare("==", place).choose(dy, k.zero))

        k.loop(o.kh, lambda u: k.loop(o.kw, lambda v: cell(u, v)))

    _windows(k, o, window)


def avg_pool_forward(k: Writer, o, params, values):
    """The mean of each window."""
    share = _share(k, o)

    def window(at, corner):
        total = k.loop(
            o.kh,
            lambda u, s: k.loop(o.kw, lambda v, s: s + values.lanes(corner + u * o.w + v), s),
            k.zero,
        )
        values.put(o.y + at, total * share)

    _windows(k, o, window)


def avg_pool_backward(k: Writer, o, params, grads, values, slopes):
    """dy / (kh kw) is added to each cell of its window."""
    share = _share(k, o)
    clear(k, slopes, o.x, o.c * o.h * o.w)

    def window(at, corner):
        dy = slopes.lanes(o.y + at) * share

        def cell(u, v):
            place = corner + u * o.w + v
            slopes.put(place, slopes.lanes(place) + dy)

        k.loop(o.kh, lambda u: k.loop(o.kw, lambda v: cell(u, v)))

    _windows(k, o, window)


def pad_forward(k: Writer, o, params, values):
    """x inside, and kh and kw cells on each side: 0, or -inf where z is 1."""
    edge = o.z.compare(">", 0).choose(k.value(float("-inf"), k.number), k.value(0.0, k.number))
    k.loop(o.c * o.ho * o.wo, lambda i: values.put(o.y + i, edge.splat()))
    _interior(k, o, lambda x, y: values.put(y, values.lanes(x)))


def pad_backward(k: Writer, o, params, grads, values, slopes):
    """dx is dy without the edges."""
    _interior(k, o, lambda x, y: slopes.put(x, slopes.lanes(y)))


def _windows(k, o, body):
    """Call ``body(at, corner)`` for each output cell and the first cell of its window."""

    def line(c, i):
        cells, out = o.x + c * o.h * o.w + i * o.sh * o.w, (c * o.ho + i) * o.wo
        k.loop(o.wo, lambda j: body(out + j, cells + j * o.sw))

    k.loop(o.c, lambda c: k.loop(o.ho, lambda i: line(c, i)))


def _interior(k, o, body):
    def line(c, i):
        x, y = o.x + (c * o.h + i) * o.w, o.y + (c * o.ho + i + o.kh) * o.wo + o.kw
        k.loop(o.w, lambda j: body(x + j, y + j))

    k.loop(o.c, lambda c: k.loop(o.h, lambda i: line(c, i)))


def _share(k, o):
    return (k.value(1.0, k.number) / (o.kh * o.kw).to_number()).splat()
