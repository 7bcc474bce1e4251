"""What the machine and its callers agree on: the order of ints in a row, of arrays in a call."""

__all__ = ["ARRAYS", "LANES", "ROW", "TASK", "UPDATES"]

# Images at a time: numbers in a vector.
LANES = 8

# The ints of a layer's row: the addresses of its kernels; where the input x and the output y begin,
# and z, what else is kept for the way back; their shapes (c, h, w) and (f, ho, wo); a window; where
# parameters begin, a bias of -1 being none; whether dx is asked for; whether no gradient is.
ROW = (
    "forward", "backward", "x", "y", "z", "c", "h", "w", "f", "ho", "wo", "kh", "kw", "sh", "sw",
    "dh", "dw", "groups", "weights", "bias", "need_dx", "no_backward",
)  # fmt: skip

# The ints of a call: rows of the table; numbers of an image; where the logits begin and how many
# they are; images in ``order``, in a batch; steps; numbers of all parameters; the update, and
# whether its momentum is Nesterov's.
TASK = (
    "rows", "features", "logits", "classes", "images", "batch_size", "steps", "numbers", "update",
    "nesterov",
)  # fmt: skip

UPDATES = ("none", "sgd", "momentum", "adam")

# The arrays of a call. Ints: table (rows, ROW), task, labels and order (N,). float64: weights (N,)
# and results, the loss of each step. Of the program's dtype: params, grads, m and v, of whole
# vectors; values and slopes (cells, LANES); x (N, features); outputs (N, classes); rates (steps,
# 3), the rate and Adam's corrections; constants: weight decay, momentum or beta1, 1 - beta1, beta2,
# 1 - beta2, eps.
ARRAYS = (
    "table", "task", "params", "grads", "m", "v", "values", "slopes", "x", "labels", "weights",
    "order", "rates", "constants", "results", "outputs",
)  # fmt: skip
