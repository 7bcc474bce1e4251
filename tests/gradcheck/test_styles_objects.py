"""Objects, losses and tapes in the ways that people write them: all are called without glue,
compared in every parameter, passed when right and caught when wrong."""

import numpy as np
import pytest

from autocnn import gradcheck

R = np.random.default_rng(0)
X = R.normal(size=(5, 4))
CASES = []


def show(name, thunk, ok=True, leaves=(), codes=()):
    CASES.append(pytest.param(thunk, ok, set(leaves), set(codes), id=name))


class ListsWB:  # numpy MLP with lists of weights and biases
    def __init__(self, f=1):
        r = np.random.default_rng(0)
        self.weights = [r.normal(size=(4, 6)), r.normal(size=(6, 3))]
        self.biases = [np.zeros(6), np.zeros(3)]
        self.f = f

    def forward(self, x):
        self.acts = [x]
        for W, b in zip(self.weights, self.biases, strict=False):
            x = np.tanh(x @ W + b)
            self.acts.append(x)
        return x

    def backward(self, dy):
        self.grad_weights = [None] * 2
        self.grad_biases = [None] * 2
        for i in (1, 0):
            d = dy * (1 - self.acts[i + 1] ** 2)
            self.grad_weights[i] = self.f * self.acts[i].T @ d
            self.grad_biases[i] = d.sum(0)
            dy = d @ self.weights[i].T
        return dy


show(
    "lists of weights",
    lambda: gradcheck.check_object(ListsWB(), X),
    True,
    ["x", "weights[0]", "biases[1]"],
)
show(
    "lists of weights x2",
    lambda: gradcheck.check_object(ListsWB(2), X),
    False,
    ["weights[0]"],
    ["scale"],
)


class Inner:
    def __init__(self, i, o, seed=0):
        self.W = np.random.default_rng(seed).normal(size=(i, o))
        self.b = np.zeros(o)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, d):
        self.dW = self.x.T @ d
        self.db = d.sum(0)
        return d @ self.W.T


class Net:
    def __init__(self):
        self.fc1 = Inner(4, 6)
        self.fc2 = Inner(6, 3, 1)
        self.layers = [self.fc1, self.fc2]

    def forward(self, x):
        for l in self.layers:
            x = l.forward(x)
        return x

    def backward(self, d):
        for l in reversed(self.layers):
            d = l.backward(d)
        return d


show("inner layers", lambda: gradcheck.check_object(Net(), X), True, ["x"])


class Upd:
    def __init__(self, bug=1):
        self.W = np.random.default_rng(0).normal(size=(4, 3))
        self.b = np.zeros(3)
        self.bug = bug

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy, learning_rate):
        dx = dy @ self.W.T
        self.W -= learning_rate * self.bug * self.x.T @ dy
        self.b -= learning_rate * dy.sum(0)
        return dx


show("update inside", lambda: gradcheck.check_object(Upd(), X), True, ["x", "W", "b"])
show(
    "update inside x2", lambda: gradcheck.check_object(Upd(2), X), False, ["x", "W", "b"], ["scale"]
)


class Upd2(Upd):
    def backward(self, dy, lr=0.01):
        self.W = self.W - lr * self.bug * self.x.T @ dy
        self.b = self.b - lr * dy.sum(0)
        return dy @ self.W.T


show("update before dx", lambda: gradcheck.check_object(Upd2(), X), False, ["x", "W", "b"])


class Vz:
    def __init__(self):
        self.weights = np.random.default_rng(0).normal(size=(4, 3))
        self.biases = np.zeros(3)

    def forward(self, input):
        self.last_input = input
        t = input @ self.weights + self.biases
        e = np.exp(t - t.max(1, keepdims=True))
        self.p = e / e.sum(1, keepdims=True)
        return self.p

    def backprop(self, d_L_d_out, learn_rate):
        ds = self.p * (d_L_d_out - (d_L_d_out * self.p).sum(1, keepdims=True))
        dW = self.last_input.T @ ds
        din = ds @ self.weights.T
        self.weights -= learn_rate * dW
        self.biases -= learn_rate * ds.sum(0)
        return din


show("vzhou", lambda: gradcheck.check_object(Vz(), X), True, ["x", "weights", "biases"])


class Tup:
    def __init__(self):
        self.W = np.random.default_rng(0).normal(size=(4, 3))
        self.b = np.zeros(3)

    def forward(self, x):
        return x @ self.W + self.b, x

    def backward(self, dy, cache):
        return dy @ self.W.T, [cache.T @ dy, 2 * dy.sum(0)]


show(
    "cache object, list grads",
    lambda: gradcheck.check_object(Tup(), X),
    False,
    ["x", "W", "b"],
    ["scale"],
)


class Dct:
    def __init__(self):
        self.W = np.random.default_rng(0).normal(size=(4, 3))
        self.b = np.zeros(3)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        return dy @ self.W.T, {"W": self.x.T @ dy, "b": dy.sum(0)}


show("dict grads", lambda: gradcheck.check_object(Dct(), X), True, ["x", "W", "b"])


class Delta:
    def __init__(self):
        self.W = np.random.default_rng(0).normal(size=(4, 3))

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dy):
        self.weight_delta = 2 * self.x.T @ dy
        return dy @ self.W.T


show("weight_delta", lambda: gradcheck.check_object(Delta(), X), False, ["W"], ["scale"])


class Slots:
    __slots__ = ("gradient", "value")

    def __init__(self, v):
        self.value = v
        self.gradient = np.zeros_like(v)


class SL:
    def __init__(self):
        self.w = Slots(np.random.default_rng(0).normal(size=(4, 3)))
        self.bias = Slots(np.zeros(3))

    def zero_grad(self):
        self.w.gradient[:] = 0
        self.bias.gradient[:] = 0

    def forward(self, x):
        self.x = x
        return x @ self.w.value + self.bias.value

    def backward(self, d):
        self.w.gradient += self.x.T @ d
        self.bias.gradient += d.sum(0)
        return d @ self.w.value.T


show("slots params accumulate", lambda: gradcheck.check_object(SL(), X), True, ["x", "w", "bias"])


class NoB(Inner):
    def backward(self, d):
        self.dW = self.x.T @ d
        return d @ self.W.T


show("bias forgotten", lambda: gradcheck.check_object(NoB(4, 3), X), False, ["b"], ["missing"])


class PE:
    def __init__(self):
        self.pos = np.random.default_rng(0).normal(size=(5, 4))
        self.eps = 1e-5

    def forward(self, x):
        return x * self.pos

    def backward(self, d):
        return d * self.pos


show("constant in object", lambda: gradcheck.check_object(PE(), X), True, ["x"])


class Emb:
    def __init__(self):
        self.W = np.random.default_rng(0).normal(size=(6, 3))
        self.dW = None

    def forward(self, idx):
        self.idx = idx
        return self.W[idx]

    def backward(self, d):
        self.dW = np.zeros_like(self.W)
        np.add.at(self.dW, self.idx, d)


show("embedding", lambda: gradcheck.check_object(Emb(), np.array([0, 1, 1])), True, ["W"])


class Affine:  # oreilly affine
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
        self.x = None

    def forward(self, x):
        W, b = self.params
        self.x = x
        return x @ W + b

    def backward(self, dout):
        W, _b = self.params
        self.grads[0][...] = self.x.T @ dout
        self.grads[1][...] = dout.sum(0)
        return dout @ W.T


class Two:
    def __init__(self):
        r = np.random.default_rng(0)
        self.layers = [
            Affine(r.normal(size=(4, 5)), np.zeros(5)),
            Affine(r.normal(size=(5, 2)), np.zeros(2)),
        ]
        self.params, self.grads = [], []
        for l in self.layers:
            self.params += l.params
            self.grads += l.grads

    def forward(self, x):
        for l in self.layers:
            x = l.forward(x)
        return x

    def backward(self, d):
        for l in self.layers[::-1]:
            d = l.backward(d)
        return d


show(
    "oreilly affine",
    lambda: gradcheck.check_object(Affine(R.normal(size=(4, 3)), np.zeros(3)), X),
    True,
    ["x", "params[0]", "params[1]"],
)
show("oreilly net", lambda: gradcheck.check_object(Two(), X), True, ["x"])


class Bn:
    def __init__(self, d):
        self.gamma, self.beta = np.ones(d), np.zeros(d)
        self.running_mean = np.zeros(d)
        self.running_var = np.ones(d)

    def forward(self, x, train=True):
        m = x.mean(0)
        v = x.var(0)
        self.running_mean = 0.9 * self.running_mean + 0.1 * m
        self.running_var = 0.9 * self.running_var + 0.1 * v
        self.inv = 1 / np.sqrt(v + 1e-5)
        self.h = (x - m) * self.inv
        return self.gamma * self.h + self.beta

    def backward(self, dy):
        self.dgamma = (dy * self.h).sum(0)
        self.dbeta = dy.sum(0)
        dh = dy * self.gamma
        return self.inv * (dh - dh.mean(0) - self.h * (dh * self.h).mean(0))


show("batchnorm", lambda: gradcheck.check_object(Bn(4), X), True, ["x", "gamma", "beta"])


class Swapped(Bn):
    def backward(self, dy):
        dx = Bn.backward(self, dy)
        self.dgamma, self.dbeta = self.dbeta, self.dgamma
        return dx


show("swapped", lambda: gradcheck.check_object(Swapped(4), X), False, ["x", "gamma", "beta"])


class CE:
    def forward(self, x, t):
        e = np.exp(x - x.max(1, keepdims=True))
        self.p = e / e.sum(1, keepdims=True)
        self.t = t
        self.loss = -np.log(self.p[np.arange(len(t)), t]).mean()
        return self.loss

    def backward(self, dout=1):
        d = self.p.copy()
        d[np.arange(len(self.t)), self.t] -= 1
        return d * dout / len(d)


show("CE", lambda: gradcheck.check_object(CE(), X, np.array([0, 1, 2, 1, 3])), True, ["x"])


class Nn:  # nnfs-like
    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, dvalues):
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0


show("nnfs relu", lambda: gradcheck.check_object(Nn(), X), True, ["x"])


class NnLoss:
    def forward(self, y_pred, y_true):
        c = np.clip(y_pred, 1e-7, 1 - 1e-7)
        return -np.log(c[range(len(c)), y_true])

    def backward(self, dvalues, y_true):
        n = len(dvalues)
        labels = len(dvalues[0])
        y = np.eye(labels)[y_true]
        self.dinputs = -y / dvalues
        self.dinputs = self.dinputs / n


P = np.abs(X) + 0.3
P /= P.sum(1, keepdims=True)
show(
    "nnfs loss", lambda: gradcheck.check_object(NnLoss(), P, np.array([0, 1, 2, 1, 3])), True, ["x"]
)


class Loss2:
    def forward(self, y, t):
        return ((y - t) ** 2).mean()

    def backward(self, y, t):
        return 2 * (y - t) / y.size


show("loss(y,t)", lambda: gradcheck.check_object(Loss2(), X, X[::-1].copy()), True, ["x"])


class Gate:
    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, d):
        return d * self.b, d * self.a


show("mul", lambda: gradcheck.check_object(Gate(), X, X[::-1].copy()), True, ["x", "b"])


class Split:
    def forward(self, x):
        self.n = x.shape[1]
        return x[:, :2] * 2, x[:, 2:] * 3

    def backward(self, d1, d2):
        return np.concatenate([2 * d1, 3 * d2], 1)


show("two outputs spread", lambda: gradcheck.check_object(Split(), X), True, ["x"])


class Cs:
    def __init__(self):
        self.params = {
            "W1": R.normal(size=(4, 6)) * 0.5,
            "b1": np.zeros(6),
            "W2": R.normal(size=(6, 3)) * 0.5,
            "b2": np.zeros(3),
        }
        self.reg = 0.1

    def loss(self, X, y=None):
        p = self.params
        h = np.maximum(0, X @ p["W1"] + p["b1"])
        sc = h @ p["W2"] + p["b2"]
        if y is None:
            return sc
        e = np.exp(sc - sc.max(1, keepdims=True))
        q = e / e.sum(1, keepdims=True)
        n = len(X)
        loss = -np.log(q[np.arange(n), y]).mean() + self.reg * sum(
            (p[k] ** 2).sum() for k in ("W1", "W2")
        )
        d = q.copy()
        d[np.arange(n), y] -= 1
        d /= n
        dh = d @ p["W2"].T * (h > 0)
        return loss, {
            "W1": X.T @ dh + 2 * self.reg * p["W1"],
            "b1": dh.sum(0),
            "W2": h.T @ d + 2 * self.reg * p["W2"],
            "b2": d.sum(0),
        }


Y = np.array([0, 1, 2, 1, 0])
show("cs231n net", lambda: gradcheck.check_object(Cs(), X, Y), True, ["W1", "b2"])
show("cs231n net y=", lambda: gradcheck.check_object(Cs(), X, y=Y), True, ["W1", "b2"])
net = Cs()
show("cs231n net.loss", lambda: gradcheck.check(net.loss, X=X, y=Y), True, ["W1", "b2"])


class V:  # micrograd
    def __init__(self, data, ch=(), bw=lambda: None):
        self.data = data
        self.grad = 0.0
        self.ch = ch
        self._b = bw

    def __add__(self, o):
        o = o if isinstance(o, V) else V(o)
        out = V(self.data + o.data, (self, o))

        def b():
            self.grad += out.grad
            o.grad += out.grad

        out._b = b
        return out

    def __mul__(self, o):
        o = o if isinstance(o, V) else V(o)
        out = V(self.data * o.data, (self, o))

        def b():
            self.grad += o.data * out.grad
            o.grad += self.data * out.grad

        out._b = b
        return out

    __radd__ = __add__
    __rmul__ = __mul__

    def tanh(self):
        t = np.tanh(self.data)
        out = V(t, (self,))

        def b():
            self.grad += (1 - t * t) * out.grad

        out._b = b
        return out

    def backward(self):
        topo, seen = [], set()

        def build(v):
            if v not in seen:
                seen.add(v)
                [build(c) for c in v.ch]
                topo.append(v)

        build(self)
        self.grad = 1.0
        for v in reversed(topo):
            v._b()


show(
    "micrograd tape",
    lambda: gradcheck.check_tape(
        lambda x, w: sum(a * b for a, b in zip(x, w, strict=False)).tanh(), V, x=X[0], w=X[1]
    ),
    True,
    ["x", "w"],
)
show(
    "micrograd arrays",
    lambda: gradcheck.check_tape(lambda x, w: (x * w + x).tanh(), V, x=X, w=X[::-1].copy()),
    True,
    ["x", "w"],
)


def micro(x):
    v = V(float(x))
    y = (v * v + v).tanh()

    def back(dy):
        y.backward()
        return v.grad * dy

    return y.data, back


show("micrograd in closure", lambda: gradcheck.check(micro, x=np.array(0.3)), True, ["x"])


class Var:  # dezero
    def __init__(self, data):
        self.data = np.asarray(data)
        self.grad = None
        self.creator = None

    def backward(self):
        if self.grad is None:
            self.grad = np.ones_like(self.data)
        todo = [self.creator] if self.creator else []
        while todo:
            f = todo.pop()
            gx = f.backward(f.out.grad)
            gx = gx if isinstance(gx, tuple) else (gx,)
            for i, g in zip(f.ins, gx, strict=False):
                i.grad = g if i.grad is None else i.grad + g
                if i.creator:
                    todo.append(i.creator)


class F:
    def __call__(self, *ins):
        self.ins = ins
        self.out = Var(self.forward(*[i.data for i in ins]))
        self.out.creator = self
        return self.out


class Exp(F):
    def forward(self, x):
        return np.exp(x)

    def backward(self, g):
        return g * np.exp(self.ins[0].data)


class MatMul(F):
    def forward(self, a, b):
        return a @ b

    def backward(self, g):
        a, b = self.ins
        return g @ b.data.T, a.data.T @ g


show(
    "dezero tape",
    lambda: gradcheck.check_tape(
        lambda x, w: Exp()(MatMul()(x, w)), Var, x=X, w=R.normal(size=(4, 2))
    ),
    True,
    ["x", "w"],
)


class Square(F):
    def forward(self, x):
        return x**2

    def backward(self, g):
        return g * self.ins[0].data


show(
    "dezero bug",
    lambda: gradcheck.check_tape(lambda x: Square()(x), Var, x=X),
    False,
    ["x"],
    ["scale"],
)


@pytest.mark.parametrize(("thunk", "ok", "leaves", "codes"), CASES)
def test_style(thunk, ok, leaves, codes):
    report = thunk()
    assert report.ok == ok, str(report)
    assert leaves <= set(report.leaves), str(report)
    assert all(leaf.verdict != "unresolved" for leaf in report.leaves.values()), str(report)
    assert not codes or codes & {c.code for c in report.causes}, str(report)
