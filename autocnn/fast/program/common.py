"""What several kernels share."""

from types import SimpleNamespace

from autocnn.fast.program.layout import ROW
from autocnn.fast.program.vectors import Buffer, Value, Writer

__all__ = ["add_to", "as_list", "bias_in_all_lanes", "clear", "in_blocks", "read_row"]

AT_ONCE = 4  # filters or units whose sums are kept in registers


def read_row(ints: Buffer) -> SimpleNamespace:
    """Read a row's ints: attributes by the names of ``ROW``."""
    return SimpleNamespace(**{name: ints[i] for i, name in enumerate(ROW)})


def in_blocks(k: Writer, n: Value, body):
    """Call ``body(first, size)`` for blocks of AT_ONCE of n, and for those that are left."""
    full = n / AT_ONCE
    k.loop(full, lambda i: body(i * AT_ONCE, AT_ONCE), may_be_empty=True)
    done = full * AT_ONCE
    k.loop(n - done, lambda i: body(done + i, 1), may_be_empty=True)


def clear(k, cells, start, n):
    """Set n cells to zero."""
    k.loop(n, lambda i: cells.put(start + i, k.zero))


def bias_in_all_lanes(k, o, params, f):
    """Return filter f's bias in all lanes, 0 if there is none."""
    has = o.bias.compare(">=", 0)
    value = params[has.choose(o.bias + f, k.value(0))]
    return has.choose(value, k.value(0.0, k.number)).splat()


def add_to(numbers, i, value):
    """Add a value to entry i."""
    numbers[i] = numbers[i] + value


def as_list(found):
    """Return what a loop returned, of which one alone is no tuple, as a list."""
    return list(found) if isinstance(found, tuple) else [found]
