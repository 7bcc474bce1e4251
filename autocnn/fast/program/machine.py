"""The machine: one function that trains on batches and one that measures, compiled once for each
dtype, whatever the network.

A network is a table of rows, one a layer, that names each layer's kernels by their addresses.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from autocnn.fast.loss import NEGLIGIBLE
from autocnn.fast.program.common import read_row
from autocnn.fast.program.kernels import KERNELS
from autocnn.fast.program.layout import ARRAYS, LANES, ROW, TASK, UPDATES
from autocnn.fast.program.vectors import INT, Buffer, Value, Writer

__all__ = ["Machine", "machine"]

NUMBERS = {"f": ir.FloatType(), "d": ir.DoubleType()}


class Machine(NamedTuple):
    """kernels: {layer: (address of forward, address of backward)}.

    train, measure, predict: functions of the addresses of ``layout.ARRAYS``. ``train`` returns the
    number of steps after which loss and parameters are finite; ``measure`` returns the number of
    right answers, and writes the sum of the losses; ``predict`` writes the outputs. engine: holds
    the code.
    """

    kernels: dict[str, tuple[int, int]]
    train: Callable[..., int]
    measure: Callable[..., int]
    predict: Callable[..., int]
    engine: object


@lru_cache(maxsize=2)
def machine(char: str) -> Machine:
    """Return the machine for a dtype, "f" or "d"; it is compiled at the first call.

    Raises ImportError or OSError where LLVM or libm cannot be loaded.
    """
    module = ir.Module(f"machine_{char}")
    number = NUMBERS[char]
    for name, (forward, backward) in KERNELS.items():
        _kernel(module, number, f"{name}_forward", forward, 2)
        _kernel(module, number, f"{name}_backward", backward, 4)
    _function(module, number, "train", _train)
    _function(module, number, "measure", _measure)
    _function(module, number, "predict", _predict)
    engine = _compile(module)
    address = engine.get_function_address
    kernels = {name: (address(f"{name}_forward"), address(f"{name}_backward")) for name in KERNELS}
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * len(ARRAYS))
    functions = [kind(address(name)) for name in ("train", "measure", "predict")]
    return Machine(kernels, *functions, engine)


def _compile(module):
    libm = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    for name in ("exp", "expf", "log", "logf", "tanh", "tanhf"):
        llvm.add_symbol(name, ctypes.cast(getattr(libm, name), ctypes.c_void_p).value)
    with contextlib.suppress(RuntimeError):  # newer versions need not be told
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    options = dict(cpu=cpu, features=features, opt=2)
    parsed = llvm.parse_assembly(str(module))
    engine = llvm.create_mcjit_compiler(parsed, target.create_target_machine(**options))
    engine.finalize_object()
    return engine


def _kernel(module, number, name, write, buffers):
    pointers = [INT.as_pointer(), number.as_pointer(), *[number.as_pointer()] * 3]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), pointers), name)
    builder = ir.IRBuilder(function.append_basic_block())
    k = Writer(builder, number)
    row, params, grads, values, slopes = (Buffer(k, a, a.type.pointee) for a in function.args)
    given = (params, values) if buffers == 2 else (params, grads, values, slopes)
    write(k, read_row(row), *given)
    builder.ret_void()


def _function(module, number, name, write):
    ints = ("table", "task", "labels", "order")
    doubles = ("weights", "results")
    kinds = [(INT if p in ints else ir.DoubleType() if p in doubles else number) for p in ARRAYS]
    function = ir.Function(module, ir.FunctionType(INT, [t.as_pointer() for t in kinds]), name)
    builder = ir.IRBuilder(function.append_basic_block())
    k = Writer(builder, number)
    a = SimpleNamespace(**{
        p: Buffer(k, arg, kind)
        for p, arg, kind in zip(ARRAYS, function.args, kinds, strict=True)
    })  # fmt: skip
    o = SimpleNamespace(**{name: a.task[i] for i, name in enumerate(TASK)})
    builder.ret(write(k, o, a).of)


def _train(k, o, a):
    nothing = k.value(0)

    def step(s, done):
        begin = s * o.batch_size
        n = _least(o.batch_size, o.images - begin)
        k.loop(o.numbers / LANES, lambda i: a.grads.put(i, k.zero))
        double = k.value(0.0, ir.DoubleType())
        total = k.loop(n, lambda i, t: t + a.weights[a.order[begin + i]], double)

        def block(i, loss):
            first = i * LANES
            count = _least(k.value(LANES), n - first)
            _gather(k, o, a, begin + first, count)
            k.loop(o.rows, lambda r: _call(k, a, r, 0))
            weigh = lambda image: a.weights[image] / total  # noqa: E731
            loss = _loss(k, o, a, begin + first, count, loss, weigh)
            k.loop(o.rows, lambda r: _call(k, a, o.rows - 1 - r, 1))
            return loss

        loss = k.loop((n + (LANES - 1)) / LANES, block, double)
        a.results[s] = loss
        _update(k, o, a, s)
        wrong = k.loop(o.numbers / LANES, lambda i, t: t + a.params.lanes(i) * k.zero, k.zero)
        is_finite = (loss * 0.0).compare("==", 0.0)
        is_finite = Value(k, k.builder.and_(is_finite.of, wrong.total().compare("==", 0.0).of))
        return done + is_finite.choose(k.value(1), nothing)

    return k.loop(o.steps, step, nothing)


def _measure(k, o, a):
    def block(i, loss, right):
        first = i * LANES
        count = _least(k.value(LANES), o.images - first)
        _gather(k, o, a, first, count)
        k.loop(o.rows, lambda r: _call(k, a, r, 0))
        return _answers(k, o, a, first, count, loss, right)

    zero = k.value(0.0, ir.DoubleType())
    loss, right = k.loop((o.images + (LANES - 1)) / LANES, block, zero, k.value(0))
    a.results[0] = loss
    return right


def _predict(k, o, a):
    def block(i):
        first = i * LANES
        count = _least(k.value(LANES), o.images - first)
        _gather(k, o, a, first, count)
        k.loop(o.rows, lambda r: _call(k, a, r, 0))

        def lane(l):
            y = a.outputs.at((first + l) * o.classes)

            def output(c):
                y[c] = a.values[(o.logits + c) * LANES + l]

            k.loop(o.classes, output)

        k.loop(count, lane)

    k.loop((o.images + (LANES - 1)) / LANES, block)
    return k.value(0)


def _call(k, a, row, backward):
    at = a.table.at(row * len(ROW))
    kind = ir.FunctionType(ir.VoidType(), [
        INT.as_pointer(), *[k.number.as_pointer()] * 4
    ])  # fmt: skip
    function = k.builder.inttoptr(at[backward].of, kind.as_pointer())
    arguments = [b.pointer for b in (at, a.params, a.grads, a.values, a.slopes)]
    if not backward:
        k.builder.call(function, arguments)
        return
    is_needed = at[ROW.index("no_backward")].compare("==", 0)
    k.when(is_needed, lambda: k.builder.call(function, arguments))


def _gather(k, o, a, begin, count):
    """Copy images into the lanes, zeros where there are no more images."""

    def lane(l):
        is_there = l.compare("<", count)
        image = a.order[begin + is_there.choose(l, k.value(0))]

        def feature(d):
            x = a.x[image * o.features + d]
            a.values[d * LANES + l] = is_there.choose(x, k.value(0.0, k.number))

        k.loop(o.features, feature)

    k.loop(k.value(LANES), lane)


def _softmax(k, o, a, l):
    """Return (largest logit, its class, sum of exp(z), place) for lane l; exp(z) is in ``slopes``
    at the logits' place. The first of equal logits counts.
    """
    place = o.logits * LANES + l
    start = a.values[place]

    def compare(c, best, which):
        z = a.values[place + c * LANES]
        better = z.compare(">", best)
        return better.choose(z, best), better.choose(c, which)

    best, which = k.loop(o.classes, compare, start, k.value(0))

    def power(c, total):
        z = a.values[place + c * LANES] - best
        e = k.call("exp" if k.itemsize == 8 else "expf", z)
        a.slopes[place + c * LANES] = e
        return total + e

    return best, which, k.loop(o.classes, power, k.value(0.0, k.number)), place


def _loss_of(k, a, best, total, place, label):
    log = k.call("log" if k.itemsize == 8 else "logf", total)
    return _double(k, log - (a.values[place + label * LANES] - best))


def _loss(k, o, a, begin, count, loss, weigh):
    """Add the block's loss to ``loss``, and write the gradient of the logits to ``slopes``."""

    def lane(l, loss):
        is_there = l.compare("<", count)
        image = a.order[begin + is_there.choose(l, k.value(0))]
        weight = is_there.choose(weigh(image), k.value(0.0, ir.DoubleType()))
        best, _, total, place = _softmax(k, o, a, l)
        label = a.labels[image]
        factor = _number(k, weight)

        def slope(c):
            at = place + c * LANES
            p = a.slopes[at] / total
            if k.itemsize == 4:  # products with smaller numbers would be subnormal, and slow
                p = p.compare("<", NEGLIGIBLE).choose(k.value(0.0, k.number), p)
            hot = c.compare("==", label).choose(k.value(1.0, k.number), k.value(0.0, k.number))
            a.slopes[at] = (p - hot) * factor

        k.loop(o.classes, slope)
        return loss + weight * _loss_of(k, a, best, total, place, label)

    return k.loop(k.value(LANES), lane, loss)


def _answers(k, o, a, begin, count, loss, right):
    def lane(l, loss, right):
        best, which, total, place = _softmax(k, o, a, l)
        label = a.labels[a.order[begin + l]]
        is_right = which.compare("==", label).choose(k.value(1), k.value(0))
        return loss + _loss_of(k, a, best, total, place, label), right + is_right

    return k.loop(count, lane, loss, right)


def _update(k, o, a, s):
    """Move the parameters by their gradients, with the roundings of ``autocnn.optim``."""
    decay, beta1, rest1, beta2, rest2, eps = (a.constants[i].splat() for i in range(6))
    eta, c1, c2 = (a.rates[s * 3 + i].splat() for i in range(3))
    is_nesterov = o.nesterov.compare(">", 0)

    def sgd(i):
        p = a.params.lanes(i)
        a.params.put(i, p - eta * (a.grads.lanes(i) + decay * p))

    def momentum(i):
        p = a.params.lanes(i)
        g = a.grads.lanes(i) + decay * p
        v = beta1 * a.m.lanes(i) + g
        a.m.put(i, v)
        a.params.put(i, p - eta * is_nesterov.choose(g + beta1 * v, v))

    def adam(i):
        p, g = a.params.lanes(i), a.grads.lanes(i)
        m = _without_subnormals(k, beta1 * a.m.lanes(i) + rest1 * g)
        v = _without_subnormals(k, beta2 * a.v.lanes(i) + rest2 * g * g)
        a.m.put(i, m)
        a.v.put(i, v)
        root = k.call("llvm.sqrt.v8f64" if k.itemsize == 8 else "llvm.sqrt.v8f32", v)
        a.params.put(i, p - eta * (m / c1 / (root / c2 + eps) + decay * p))

    for name, move in (("sgd", sgd), ("momentum", momentum), ("adam", adam)):
        chosen = o.update.compare("==", UPDATES.index(name))
        k.when(chosen, lambda move=move: k.loop(o.numbers / LANES, move))


def _without_subnormals(k, x):
    tiny = float(np.finfo("f8" if k.itemsize == 8 else "f4").tiny)
    name = "llvm.fabs.v8f64" if k.itemsize == 8 else "llvm.fabs.v8f32"
    return k.call(name, x).compare("<", tiny).choose(k.zero, x)


def _least(a, b):
    return a.compare("<", b).choose(a, b)


def _double(k, x):
    return x if k.itemsize == 8 else Value(k, k.builder.fpext(x.of, ir.DoubleType()))


def _number(k, x):
    return x if k.itemsize == 8 else Value(k, k.builder.fptrunc(x.of, k.number))
