"""Shapes of code that the checker was first shown by others: a loss with its gradients in one
function, objects that are called, numbers beside arrays, repeated indices, running sums, terms
left out."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from autocnn import gradcheck

RNG = np.random.default_rng(0)

LOSS = """
import numpy as np

def contrast(z):
    n = len(z)
    norm = np.sqrt((z * z).sum(1, keepdims=True))
    u = z / norm
    s = u @ u.T
    e = np.exp(s - s.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(n), np.arange(n) ^ 1]).mean()
    ds = p.copy()
    ds[np.arange(n), np.arange(n) ^ 1] -= 1
    ds /= n
    du = (ds + ds.T) @ u
    dz = (du - u * (du * u).sum(1, keepdims=True)) / norm
    return loss, dz
"""
CALLED = """
import numpy as np

class Logistic:
    def __call__(self, x, t):
        self.p, self.t = 1 / (1 + np.exp(-x)), t
        return -(t * np.log(self.p) + (1 - t) * np.log(1 - self.p)).sum() / x.size

    def backward(self):
        g = self.p - self.t
        return g / g.size
"""
LOOKUP = """
import numpy as np

def lookup(table, ids):
    def backward(dy):
        d = np.zeros_like(table)
        np.add.at(d, ids, dy)
        return {"table": d}
    return table[ids], backward
"""
RUNNING = """
import numpy as np

def running(x, w):
    def backward(dy):
        back = np.flip(np.cumsum(np.flip(dy, 1), axis=1), 1)
        return back * w, (back * x).sum(0)
    return np.cumsum(x * w, axis=1), backward
"""
LINEAR_ATTENTION = """
import numpy as np

def attend(q, k, v):
    kv = np.einsum("bnd,bne->bde", np.exp(k), v)
    z = np.exp(k).sum(axis=1)
    num = np.einsum("bnd,bde->bne", np.exp(q), kv)
    den = np.einsum("bnd,bd->bn", np.exp(q), z)
    y = num / den[..., None]

    def backward(g):
        dnum = g / den[..., None]
        dden = -(g * y).sum(-1) / den
        dq = np.einsum("bne,bde->bnd", dnum, kv) + dden[..., None] * z[:, None, :]
        dkv = np.einsum("bnd,bne->bde", np.exp(q), dnum)
        dz = np.einsum("bn,bnd->bd", dden, np.exp(q))
        dk = np.einsum("bde,bne->bnd", dkv, v) + dz[:, None, :]
        dv = np.einsum("bnd,bde->bne", np.exp(k), dkv)
        return {"q": dq * np.exp(q), "k": dk * np.exp(k), "v": dv}
    return y, backward
"""
NORM = """
import numpy as np

class Unit:
    def __init__(self):
        self.v = np.arange(1.0, 13.0).reshape(3, 4)

    def forward(self, x):
        self.x = x
        self.n = np.sqrt((self.v ** 2).sum(1, keepdims=True))
        self.w = self.v / self.n
        return x @ self.w.T

    def backward(self, dy):
        dw = dy.T @ self.x
        self.dv = dw / self.n - self.v * (dw * self.v).sum(1, keepdims=True) / self.n ** 3
        return dy @ self.w
"""


def module(tmp_path: Path, text: str, before: str, after: str) -> tuple[types.ModuleType, int]:
    """The text with one edit as a module in a file, and the line of the edit."""
    assert text.count(before) == 1
    path = tmp_path / "shown.py"
    path.write_text(text.replace(before, after))
    made = types.ModuleType("shown")
    made.__file__ = str(path)
    sys.modules["shown"] = made
    exec(compile(path.read_text(), str(path), "exec"), made.__dict__)
    return made, text[: text.index(before)].count("\n") + 1


def check(made: types.ModuleType) -> gradcheck.Report:
    rng = np.random.default_rng(1)
    if hasattr(made, "contrast"):
        return gradcheck.check(made.contrast, z=rng.normal(size=(6, 4)))
    if hasattr(made, "Logistic"):
        return gradcheck.check_object(made.Logistic(), rng.normal(size=(4, 3)), np.eye(4, 3) > 0)
    if hasattr(made, "lookup"):
        ids = np.array([0, 2, 2, 1])
        return gradcheck.check(made.lookup, table=rng.normal(size=(3, 2)), ids=ids)
    if hasattr(made, "running"):
        return gradcheck.check(made.running, x=rng.normal(size=(3, 4)), w=rng.normal(size=4))
    if hasattr(made, "attend"):
        shapes = {"q": (2, 4, 3), "k": (2, 4, 3), "v": (2, 4, 5)}
        return gradcheck.check(made.attend, **{n: rng.normal(size=s) for n, s in shapes.items()})
    return gradcheck.check_object(made.Unit(), rng.normal(size=(5, 4)))


@pytest.mark.parametrize("text", [LOSS, CALLED, LOOKUP, RUNNING, LINEAR_ATTENTION, NORM])
def test_right_code_agrees(tmp_path, text):
    report = check(module(tmp_path, text, "import numpy as np", "import numpy as np")[0])
    assert report.ok, report


WRONG = [
    pytest.param(
        LOSS, "    ds /= n", "    ds = ds / n ** 2", "scale", True, marks=pytest.mark.slow
    ),
    (LOSS, "(du - u * (du * u).sum(1, keepdims=True)) / norm", "du / norm", "missing-path", False),
    (CALLED, "g = self.p - self.t", "g = self.p", None, True),
    (LOOKUP, "np.add.at(d, ids, dy)", "d[ids] += dy", "overwritten", True),
    (
        RUNNING,
        "np.flip(np.cumsum(np.flip(dy, 1), axis=1), 1)",
        "np.cumsum(dy, axis=1)",
        None,
        True,
    ),
    pytest.param(
        LINEAR_ATTENTION, " + dz[:, None, :]", "", "missing-path", True, marks=pytest.mark.slow
    ),
    (
        NORM,
        "dw / self.n - self.v * (dw * self.v).sum(1, keepdims=True) / self.n ** 3",
        "dw / self.n",
        "missing-path",
        False,
    ),
]


@pytest.mark.parametrize(("text", "before", "after", "code", "edit"), WRONG)
def test_the_line_and_the_name(tmp_path, text, before, after, code, edit):
    made, row = module(tmp_path, text, before, after)
    report = check(made)
    assert not report.ok
    assert report.place is not None
    assert row in (report.place.line, *(s.line for s in report.place.suspects[:1])), report
    assert code in (None, report.errors[0].code), report
    assert (report.fix is not None) == edit


def test_a_number_beside_arrays_keeps_its_shape_in_every_layout():
    def scaled(x, s):
        return x * s, lambda dy: {"x": dy * s, "s": np.asarray((dy * x).sum() + 0 * s)}

    assert gradcheck.check(scaled, x=RNG.normal(size=(3, 4)), s=np.array(0.7)).ok


def test_a_single_number_is_called_no_multiple_of_another():
    def power(x, a, b):
        y = (np.exp(a) * x**2 + np.sin(b) * x).sum()
        return y, {
            "x": 2 * np.exp(a) * x + np.sin(b),
            "a": np.exp(a) * (x**2).sum() + 0.3 * x.sum(),
            "b": np.cos(b) * x.sum(),
        }

    report = gradcheck.check(power, x=RNG.normal(size=5), a=np.array(0.4), b=np.array(1.1))
    assert [c.leaf for c in report.errors] == ["a"]
    assert not any("x b" in c.message or "x a" in c.message for c in report.errors)


def test_methods_called_with_an_underscore():
    class Cube:
        def _forward(self, x):
            self.x = x
            return x**3

        def _backward(self, dy):
            return 3 * self.x**2 * dy

    assert gradcheck.check_object(Cube(), RNG.normal(size=(2, 3))).ok


def test_a_rotation_without_its_other_half_is_a_missing_route():
    c, s = np.cos(0.3), np.sin(0.3)

    def rotate(x):
        half = x.shape[-1] // 2
        turned = np.concatenate([-x[..., half:], x[..., :half]], axis=-1)
        return x * c + turned * s, lambda dy: {"x": dy * c}

    report = gradcheck.check(rotate, x=RNG.normal(size=(2, 6)), quick=True)
    assert report.errors[0].code == "missing-path"


class Node:
    """A tape of two operations; `times` may write `=` for `+=`."""

    assigns = False

    def __init__(self, data, parents=()):
        self.data, self.parents, self.grad = np.asarray(data), parents, np.zeros_like(data)
        self.step = lambda: None

    def __add__(self, other):
        out = Node(self.data + other.data, (self, other))

        def step():
            self.grad = self.grad + out.grad
            other.grad = other.grad + out.grad

        out.step = step
        return out

    def __mul__(self, other):
        out = Node(self.data * other.data, (self, other))

        def step():
            self.grad = self.grad + out.grad * other.data
            other.grad = (0 if self.assigns else other.grad) + out.grad * self.data

        out.step = step
        return out

    def backward(self, dy):
        order, seen = [], set()

        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for parent in node.parents:
                    visit(parent)
                order.append(node)

        visit(self)
        self.grad = dy
        for node in reversed(order):
            node.step()


class AssigningNode(Node):
    assigns = True


@pytest.mark.parametrize("kind", [Node, AssigningNode])
def test_a_tape_that_assigns_gradients_is_seen_where_no_leaf_is_used_twice(kind):
    arrays = {n: RNG.normal(size=(2, 3)) for n in ("x", "w", "b")}
    report = gradcheck.check_tape(lambda x, w, b: x * w + b, kind, **arrays)
    assert report.ok == (kind is Node)
    assert [c.leaf for c in report.errors if c.code == "overwritten"] == ["w"] * (kind is not Node)
