"""Loops over vectors, written for LLVM: what the kernels of this folder are made of.

A kernel is a Python function that writes a function of machine code by way of ``Writer``: numbers
that it computes with are ``Value``s, and loops are calls that are given their body as a function.

    total = k.loop(n, lambda i, total: k.fma(a.lanes(i), b.lanes(i), total), k.zero)

A vector holds one number of each of ``LANES`` images. LLVM is used by itself, without Numba: it
loads in a tenth of a second instead of a whole one, and a kernel is compiled in milliseconds, since
all of its vectors and loops are said and need not be found.
"""

from collections.abc import Callable

from llvmlite import ir

from autocnn.fast.program.layout import LANES

__all__ = ["INT", "Buffer", "Value", "Writer"]

INT = ir.IntType(64)


class Value:
    """An int64, a number or a vector of numbers of the machine, with Python's operators."""

    def __init__(self, writer: "Writer", of: ir.Value):
        self.k, self.of = writer, of

    def _operation(self, other, for_ints, for_numbers):
        other = self.k.value(other, self.of.type)
        build = for_ints if self.of.type == INT else for_numbers
        return Value(self.k, getattr(self.k.builder, build)(self.of, other.of))

    def __add__(self, other):
        return self._operation(other, "add", "fadd")

    def __sub__(self, other):
        return self._operation(other, "sub", "fsub")

    def __mul__(self, other):
        return self._operation(other, "mul", "fmul")

    def __truediv__(self, other):
        return self._operation(other, "sdiv", "fdiv")

    def compare(self, sign: str, other) -> "Value":
        """Compare; of numbers, one of which is NaN, the answer is no."""
        other = self.k.value(other, self.of.type)
        build = self.k.builder
        compare = build.icmp_signed if self.of.type == INT else build.fcmp_ordered
        return Value(self.k, compare(sign, self.of, other.of))

    def choose(self, yes: "Value", no: "Value") -> "Value":
        """Return ``yes`` where this comparison holds, else ``no``."""
        return Value(self.k, self.k.builder.select(self.of, yes.of, no.of))

    def splat(self) -> "Value":
        """Return the vector that holds this number in every lane."""
        vector, index = ir.Constant(self.k.vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        one = self.k.builder.insert_element(vector, self.of, index)
        order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return Value(self.k, self.k.builder.shuffle_vector(one, vector, order))

    def with_lane(self, lane: int, number: "Value") -> "Value":
        """Return this vector with another number in one lane."""
        index = ir.Constant(ir.IntType(32), lane)
        return Value(self.k, self.k.builder.insert_element(self.of, number.of, index))

    def to_number(self) -> "Value":
        """Return this int as a number."""
        return Value(self.k, self.k.builder.sitofp(self.of, self.k.number))

    def total(self) -> "Value":
        """Return the sum of a vector's lanes."""
        vector, width = self, LANES
        while width > 1:  # halves onto each other
            width //= 2
            halves = [
                Value(self.k, self.k.builder.shuffle_vector(
                    vector.of, vector.of,
                    ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(i, i + width))),
                ))
                for i in (0, width)
            ]  # fmt: skip
            vector = halves[0] + halves[1]
        return Value(self.k, self.k.builder.extract_element(vector.of, ir.Constant(INT, 0)))


class Buffer:
    """An array in memory. ``buffer[i]`` is one entry, ``buffer.lanes(i)`` the i-th vector."""

    def __init__(self, writer: "Writer", pointer: ir.Value, item: ir.Type):
        self.k, self.pointer, self.item = writer, pointer, item

    def at(self, i) -> "Buffer":
        """Return the array from entry i on."""
        i = self.k.value(i, INT)
        return Buffer(self.k, self.k.builder.gep(self.pointer, [i.of]), self.item)

    def __getitem__(self, i) -> Value:
        return Value(self.k, self.k.builder.load(self.at(i).pointer))

    def __setitem__(self, i, value):
        self.k.builder.store(self.k.value(value, self.item).of, self.at(i).pointer)

    def vector(self) -> Value:
        """Load a vector from the array's first entries."""
        pointer = self.k.builder.bitcast(self.pointer, self.k.vector.as_pointer())
        return Value(self.k, self.k.builder.load(pointer, align=self.k.itemsize))

    def set_vector(self, value):
        """Store a vector in the array's first entries."""
        pointer = self.k.builder.bitcast(self.pointer, self.k.vector.as_pointer())
        value = self.k.value(value, self.k.vector)
        self.k.builder.store(value.of, pointer, align=self.k.itemsize)

    def lanes(self, i) -> Value:
        """Load the i-th vector."""
        return self.at(self.k.value(i, INT) * LANES).vector()

    def put(self, i, value):
        """Store the i-th vector."""
        self.at(self.k.value(i, INT) * LANES).set_vector(value)


class Writer:
    """Writes one function for numbers of one type."""

    def __init__(self, builder: ir.IRBuilder, number: ir.Type):
        self.builder, self.number = builder, number
        self.itemsize = 8 if number == ir.DoubleType() else 4
        self.vector = ir.VectorType(number, LANES)
        self.zero = self.value(0.0, self.vector)

    def value(self, of, kind=None) -> Value:
        """Return a constant of a type as a Value; a Value stays as it is."""
        if isinstance(of, Value):
            return of
        if kind is None:
            kind = INT
        if isinstance(kind, ir.VectorType):
            return Value(self, ir.Constant(kind, [float(of)] * LANES))
        return Value(self, ir.Constant(kind, int(of) if kind == INT else float(of)))

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a b + c, rounded once where the processor can do that as quickly."""
        name = "v8" * (a.of.type == self.vector) + ("f64" if self.itemsize == 8 else "f32")
        kind = a.of.type
        function = self.declared(f"llvm.fmuladd.{name}", kind, [kind] * 3)
        return Value(self, self.builder.call(function, [a.of, b.of, c.of]))

    def call(self, name: str, *arguments: Value) -> Value:
        """Call a function of libm, or one of LLVM, of numbers."""
        kinds = [a.of.type for a in arguments]
        return Value(self, self.builder.call(
            self.declared(name, kinds[0], kinds), [a.of for a in arguments]
        ))  # fmt: skip

    def declared(self, name: str, returned: ir.Type, kinds: list):
        """Return a function from outside, declared once in a module."""
        found = self.builder.module.globals.get(name)
        kind = ir.FunctionType(returned, kinds)
        return found or ir.Function(self.builder.module, kind, name)

    def loop(self, n, body: Callable, *carried: Value, may_be_empty: bool = False):
        """Run ``body(i, *carried)`` for i in range(n); it returns what the next one is given.

        Returns what the last one returned: None, one Value or a tuple, as many as ``carried``. n is
        1 or more unless ``may_be_empty``.
        """
        b, n = self.builder, self.value(n)
        before = b.block
        inside, after = b.append_basic_block(), b.append_basic_block()
        if may_be_empty:
            b.cbranch(n.compare(">", 0).of, inside, after)
        else:
            b.branch(inside)
        b.position_at_end(inside)
        phis = [b.phi(kind) for kind in (INT, *(v.of.type for v in carried))]
        i, *values = [Value(self, phi) for phi in phis]
        found = body(i, *values)
        results = found if isinstance(found, tuple | list) else [found] if carried else []
        following = i + 1
        end = b.block
        for phi, first, then in zip(
            phis, (self.value(0), *carried), (following, *results), strict=True
        ):
            phi.add_incoming(first.of, before)
            phi.add_incoming(then.of, end)
        b.cbranch(following.compare("<", n).of, inside, after)
        b.position_at_end(after)
        if may_be_empty:
            joined = []
            for first, then in zip(carried, results, strict=True):
                phi = b.phi(first.of.type)
                phi.add_incoming(first.of, before)
                phi.add_incoming(then.of, end)
                joined.append(Value(self, phi))
            results = joined
        return results[0] if len(results) == 1 else tuple(results) or None

    def when(self, condition: Value, body: Callable):
        """Run ``body()`` where a condition holds."""
        with self.builder.if_then(condition.of):
            body()
