"""Convolution, forward and backward; ``kernels`` says what a kernel is given."""

from autocnn.fast.program.common import add_to, as_list, bias_in_all_lanes, clear, in_blocks
from autocnn.fast.program.vectors import Writer

__all__ = ["conv_backward", "conv_forward"]


def conv_forward(k: Writer, o, params, values):
    """y[f, i, j] = b[f] + sum_{c, u, v} w[f, c, u, v] x[c, i s + u d, j s + v d]."""
    size, (filters, channels) = o.h * o.w, (o.f / o.groups, o.c / o.groups)
    taps, pixels = channels * o.kh * o.kw, o.ho * o.wo
    across, down, row = o.dw, o.dh * o.w, o.sh * o.w
    kernel = o.kh * o.kw

    def group(g):
        image = o.x + g * channels * size

        def block(first, n):
            f = g * filters + first
            w = o.weights + f * taps
            starts = [bias_in_all_lanes(k, o, params, f + a) for a in range(n)]

            def line(i):
                def pixel(j):
                    cell = image + i * row + j * o.sw

                    def channel(c, *sums):
                        plane, wc = cell + c * size, w + c * kernel

                        def kernel_row(u, *sums):
                            first_cell, wu = plane + u * down, wc + u * o.kw

                            def tap(v, *sums):
                                x = values.lanes(first_cell + v * across)
                                return [
                                    k.fma(params[wu + v + taps * a].splat(), x, s)
                                    for a, s in enumerate(sums)
                                ]

                            return k.loop(o.kw, tap, *sums)

                        return k.loop(o.kh, kernel_row, *sums)

                    sums = as_list(k.loop(channels, channel, *starts))
                    at = o.y + f * pixels + i * o.wo + j
                    for a, s in enumerate(sums):
                        values.put(at + pixels * a, s)

                k.loop(o.wo, pixel)

            k.loop(o.ho, line)

        in_blocks(k, filters, block)

    k.loop(o.groups, group)


def conv_backward(k: Writer, o, params, grads, values, slopes):
    """dw[f, c, u, v] = sum_{i, j} dy[f, i, j] x[c, i s + u d, j s + v d], summed over the images as
    well, as db = sum dy is; and w dy is added to each dx that y has met.
    """
    size, (filters, channels) = o.h * o.w, (o.f / o.groups, o.c / o.groups)
    kernel = o.kh * o.kw
    taps, pixels = channels * kernel, o.ho * o.wo
    across, down, row = o.dw, o.dh * o.w, o.sh * o.w

    def weights(g):
        image = o.x + g * channels * size

        def block(first, n):
            f = g * filters + first
            dy = o.y + f * pixels

            def tap(c, u, v):
                corner = image + c * size + u * down + v * across

                def line(i, *sums):
                    x_row, dy_row = corner + i * row, dy + i * o.wo

                    def pixel(j, *sums):
                        x = values.lanes(x_row + j * o.sw)
                        return [
                            k.fma(slopes.lanes(dy_row + j + pixels * a), x, s)
                            for a, s in enumerate(sums)
                        ]

                    return k.loop(o.wo, pixel, *sums)

                sums = as_list(k.loop(o.ho, line, *[k.zero] * n))
                at = o.weights + f * taps + c * kernel + u * o.kw + v
                for a, s in enumerate(sums):
                    add_to(grads, at + taps * a, s.total())

            k.loop(
                channels,
                lambda c: k.loop(o.kh, lambda u: k.loop(o.kw, lambda v: tap(c, u, v))),
            )

        in_blocks(k, filters, block)

    k.loop(o.groups, weights)

    def biases():
        def one(f):
            at = o.y + f * pixels
            total = k.loop(pixels, lambda i, s: s + slopes.lanes(at + i), k.zero)
            add_to(grads, o.bias + f, total.total())

        k.loop(o.f, one)

    k.when(o.bias.compare(">=", 0), biases)

    def inputs():
        clear(k, slopes, o.x, o.c * size)

        def group(g):
            image = o.x + g * channels * size

            def block(first, n):
                f = g * filters + first
                dy, w = o.y + f * pixels, o.weights + f * taps

                def pixel(i, j):
                    at = dy + i * o.wo + j
                    outer = [slopes.lanes(at + pixels * a) for a in range(n)]
                    corner = image + i * row + j * o.sw

                    def kernel_row(c, u):
                        cells = corner + c * size + u * down
                        wu = w + c * kernel + u * o.kw

                        def tap(v):
                            cell = cells + v * across
                            dx = slopes.lanes(cell)
                            for a, d in enumerate(outer):
                                dx = k.fma(params[wu + v + taps * a].splat(), d, dx)
                            slopes.put(cell, dx)

                        k.loop(o.kw, tap)

                    k.loop(channels, lambda c: k.loop(o.kh, lambda u: kernel_row(c, u)))

                k.loop(o.ho, lambda i: k.loop(o.wo, lambda j: pixel(i, j)))

            in_blocks(k, filters, block)

        k.loop(o.groups, group)

    k.when(o.need_dx.compare(">", 0), inputs)
