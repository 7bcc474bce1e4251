"""Indexing, scattering and broadcasting, and nodes of a tape that are used twice."""

import numpy as np

from autocnn import gradcheck
from benchmarks.wild.pairs import closure, normal, pair

# ---- gather of pairs of indices: scatter assigns


def gather(data, rows, columns):
    return data[rows, columns]


def scatter(add):
    def backward(dy, data, rows, columns):
        d = np.zeros_like(data)
        if add:
            np.add.at(d, (rows, columns), dy)
        else:
            d[rows, columns] = dy
        return {"data": d}

    return backward


pair(
    "gather_nd scatters by assignment",
    kind="accumulation",
    link="https://github.com/apache/mxnet/issues/9172",
    shows="where an index comes twice",
    buggy=closure(gather, scatter(False)),
    fixed=closure(gather, scatter(True)),
    arrays={
        "data": normal(3, 4),
        "rows": np.array([1, 1, 0, 2]),
        "columns": np.array([2, 2, 0, 1]),
    },
    codes=("overwritten",),
)

# ---- an embedding: += with repeated indices keeps one of them


def embedding(table, index):
    return table[index]


def plus_equals(dy, table, index):
    d = np.zeros_like(table)
    d[index] += dy
    return {"table": d}


def add_at(dy, table, index):
    d = np.zeros_like(table)
    np.add.at(d, index, dy)
    return {"table": d}


pair(
    "take with repeated indices",
    kind="accumulation",
    link="https://github.com/HIPS/autograd/issues/39",
    shows="where an index comes twice",
    buggy=closure(embedding, plus_equals),
    fixed=closure(embedding, add_at),
    arrays={"table": normal(5, 3), "index": np.array([0, 3, 3, 1, 0, 3])},
    codes=("overwritten",),
)

# ---- the two operands of an addition of unequal shapes


def add(a, b):
    return a + b


pair(
    "broadcast add unsummed",
    kind="broadcast",
    link="https://github.com/deeplearning4j/nd4j/issues/2424",
    shows="where an operand is broadcast",
    buggy=closure(add, lambda dy, a, b: {"a": dy, "b": dy}),
    fixed=closure(add, lambda dy, a, b: {"a": dy, "b": dy.sum(0, keepdims=True)}),
    arrays={"a": normal(3, 4), "b": normal(1, 4)},
    codes=("shape",),
)


def subtract(a, b):
    return a - b


def broadcast_like(dy, a, b):
    return {"a": np.broadcast_to(dy, a.shape).copy(), "b": -np.broadcast_to(dy[:1], b.shape)}


pair(
    "subtract broadcasts where it should collapse",
    kind="broadcast",
    link="https://github.com/apache/tvm/pull/2465",
    shows="where an operand is broadcast",
    buggy=closure(subtract, broadcast_like),
    fixed=closure(subtract, lambda dy, a, b: {"a": dy, "b": -dy.sum(0, keepdims=True)}),
    arrays={"a": normal(3, 4), "b": normal(1, 4)},
    codes=("partial", "broadcast"),
)

# ---- a bias: the sum over the first axis, for inputs of rank 2


def biased(x, b):
    z = x + b
    return z / (1 + np.exp(-1.702 * z))


def slope(x, b):
    s = 1 / (1 + np.exp(-1.702 * (x + b)))
    return s + 1.702 * (x + b) * s * (1 - s)


def first_axis(dy, x, b):
    dz = dy * slope(x, b)
    return {"x": dz, "b": dz.sum(0)}


def leading_axes(dy, x, b):
    dz = dy * slope(x, b)
    return {"x": dz, "b": dz.reshape(-1, len(b)).sum(0)}


pair(
    "bias gelu of rank 2",
    kind="setting",
    link="https://github.com/fla-org/flash-linear-attention/pull/921",
    shows="at inputs of rank 3",
    buggy=closure(biased, first_axis),
    fixed=closure(biased, leading_axes),
    arrays={"x": normal(2, 3, 4), "b": normal(4)},
    codes=("shape",),
    call=lambda f: gradcheck.stress(f, x=("N", "T?", "D"), b=("D",)),
)

# ---- the largest entry: a comparison with a tolerance


def largest(x):
    return np.max(x, axis=1)


def close_to_it(dy, x):
    return {"x": dy[:, None] * (np.abs(x - largest(x)[:, None]) < 1e-2)}


def first_of_them(dy, x):
    d = np.zeros_like(x)
    d[np.arange(len(x)), np.argmax(x, axis=1)] = dy
    return {"x": d}


pair(
    "max compares with a tolerance",
    kind="edge",
    link="https://github.com/mni-ml/framework/pull/22",
    shows="where the two largest entries differ by less than 0.01",
    buggy=closure(largest, close_to_it),
    fixed=closure(largest, first_of_them),
    arrays={"x": np.array([[0.2, 1.3, 1.305, -1.0], [0.8, 0.1, -0.4, 0.3]])},
    codes=("mask",),
)


# ---- nodes of a tape


class Value:
    """A scalar node: its value, its gradient, and what it was made of. `add` says whether it adds
    to the gradients of its parents; `once` whether a node passes its gradient on only once."""

    add, once = True, True

    def __init__(self, data, parents=(), slopes=()):
        self.data, self.grad = data, 0.0
        self.parents, self.slopes = parents, slopes

    def __add__(self, other):
        return type(self)(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return type(self)(self.data * other.data, (self, other), (other.data, self.data))

    def exp(self):
        y = np.exp(self.data)
        return type(self)(y, (self,), (y,))

    def backward(self):
        self.grad = 1.0
        if self.once:
            for node in reversed(self.ordered()):
                node.pass_on()
        else:
            self.walk()

    def pass_on(self):
        for parent, slope in zip(self.parents, self.slopes, strict=True):
            new = slope * self.grad
            parent.grad = parent.grad + new if self.add else new

    def walk(self):
        for parent, slope in zip(self.parents, self.slopes, strict=True):
            parent.grad = parent.grad + slope * self.grad
            parent.walk()

    def ordered(self):
        seen, order = set(), []

        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for parent in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        return order


class Assigns(Value):
    add = False


class Repeats(Value):
    once = False


def used_twice(x, a):
    return x.exp() * a + x * a


def reused_node(x, a):
    xa = x * a
    return x * xa + x * x * a + x * xa


def tape(node, f):
    """f of nodes, as a function of the class of node."""
    return node, f


POINT = {"x": np.array(0.7), "a": np.array(1.4)}
pair(
    "tape assigns gradients",
    kind="accumulation",
    link="https://github.com/karpathy/nn-zero-to-hero/issues/52",
    shows="where a node is used twice",
    buggy=tape(Assigns, used_twice),
    fixed=tape(Value, used_twice),
    arrays=POINT,
    codes=("overwritten", "missing-path", "partial"),
    call=lambda f: gradcheck.check_tape(f[1], f[0], **POINT),
    library="tape",
)
pair(
    "tape passes gradients on repeatedly",
    kind="accumulation",
    link="https://github.com/sebgao/cTensor/issues/5",
    shows="where a node inside is used twice",
    buggy=tape(Repeats, reused_node),
    fixed=tape(Value, reused_node),
    arrays=POINT,
    codes=("accumulates", "missing-path", "additive", "scale"),
    call=lambda f: gradcheck.check_tape(f[1], f[0], **POINT),
    library="tape",
)
