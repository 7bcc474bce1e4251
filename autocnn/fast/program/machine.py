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
from llvmlite import ir

from autocnn.fast.program.batches import answers, least, loss_and_slopes, update
from autocnn.fast.program.common import read_row
from autocnn.fast.program.kernels import KERNELS
from autocnn.fast.program.layout import ARRAYS, LANES, ROW, TASK
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
        n = least(o.batch_size, o.images - begin)
        k.loop(o.numbers / LANES, lambda i: a.grads.put(i, k.zero))
        double = k.value(0.0, ir.DoubleType())
        total = k.loop(n, lambda i, t: t + a.weights[a.order[begin + i]], double)

        def block(i, loss):
            first = i * LANES
            count = least(k.value(LANES), n - first)
            _gather(k, o, a, begin + first, count)
            k.loop(o.rows, lambda r: _call(k, a, r, 0))
            weigh = lambda image: a.weights[image] / total  # noqa: E731
            loss = loss_and_slopes(k, o, a, begin + first, count, loss, weigh)
            k.loop(o.rows, lambda r: _call(k, a, o.rows - 1 - r, 1))
            return loss

        loss = k.loop((n + (LANES - 1)) / LANES, block, double)
        a.results[s] = loss
        update(k, o, a, s)
        wrong = k.loop(o.numbers / LANES, lambda i, t: t + a.params.lanes(i) * k.zero, k.zero)
        is_finite = (loss * 0.0).compare("==", 0.0)
        is_finite = Value(k, k.builder.and_(is_finite.of, wrong.total().compare("==", 0.0).of))
        return done + is_finite.choose(k.value(1), nothing)

    return k.loop(o.steps, step, nothing)


def _measure(k, o, a):
    def block(i, loss, right):
        first = i * LANES
        count = least(k.value(LANES), o.images - first)
        _gather(k, o, a, first, count)
        k.loop(o.rows, lambda r: _call(k, a, r, 0))
        return answers(k, o, a, first, count, loss, right)

    zero = k.value(0.0, ir.DoubleType())
    loss, right = k.loop((o.images + (LANES - 1)) / LANES, block, zero, k.value(0))
    a.results[0] = loss
    return right


def _predict(k, o, a):
    def block(i):
        first = i * LANES
        count = least(k.value(LANES), o.images - first)
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
