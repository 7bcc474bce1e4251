"""Styles that rest on a tape, and the hooks of torch and jax."""

import re

from benchmarks.gradcheck.styles.layer import Layer, block, rename
from benchmarks.gradcheck.styles.style import HEAD, Style, in_class, initial, listed, unpacked

__all__ = ["STYLES"]


def closures_on_nodes(layer: Layer) -> str:
    nodes = {n: f"{n}.data" for n in layer.leaves}
    nodes[layer.upstream[0]] = "out.grad"
    adds = "\n        ".join(f"{n}.grad += d{n}" for n in layer.leaves)
    return f"""{HEAD}class Tensor:
    def __init__(self, data, _children=()):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self._backward = lambda: None
        self._prev = set(_children)

    def backward(self):
        topo, visited = [], set()

        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build(child)
                topo.append(v)

        build(self)
        self.grad = np.ones_like(self.data)
        for v in reversed(topo):
            v._backward()


def {layer.name}({listed(layer.arguments)}):
    {block(rename(layer.forward, nodes), 4)}
    out = Tensor({layer.outputs[0]}, ({listed(layer.leaves)},))

    def _backward():
        {block(rename(layer.backward, nodes), 8)}
        {adds}

    out._backward = _backward
    return out
"""


def functions_with_variables(layer: Layer) -> str:
    keep = [n for n in layer.saved if n not in layer.labels]
    kept = "".join(f"\n        self.{n} = {n}" for n in keep)
    taken = f"{listed(keep)} = {listed('self.' + n for n in keep)}"
    labels = "".join(f"\n        {n} = self.{n}" for n in layer.labels)
    made = f"{layer.name.title()}({listed(layer.labels)})"
    init = "".join(f"\n        self.{n} = {n}" for n in layer.labels)
    start = f"\n    def __init__(self, {listed(layer.labels)}):{init}\n" if init else ""
    return f"""import weakref

{HEAD}class Variable:
    def __init__(self, data, name=None):
        self.data = data
        self.name = name
        self.grad = None
        self.creator = None
        self.generation = 0

    def set_creator(self, func):
        self.creator = func
        self.generation = func.generation + 1

    def cleargrad(self):
        self.grad = None

    def backward(self):
        if self.grad is None:
            self.grad = np.ones_like(self.data)
        funcs = [self.creator]
        while funcs:
            f = funcs.pop()
            gxs = f.backward(*[output().grad for output in f.outputs])
            gxs = gxs if isinstance(gxs, tuple) else (gxs,)
            for x, gx in zip(f.inputs, gxs):
                x.grad = gx if x.grad is None else x.grad + gx
                if x.creator is not None:
                    funcs.append(x.creator)


class Function:
    def __call__(self, *inputs):
        ys = self.forward(*[x.data for x in inputs])
        ys = ys if isinstance(ys, tuple) else (ys,)
        outputs = [Variable(np.asarray(y)) for y in ys]
        self.generation = max(x.generation for x in inputs)
        for output in outputs:
            output.set_creator(self)
        self.inputs = inputs
        self.outputs = [weakref.ref(output) for output in outputs]
        return outputs if len(outputs) > 1 else outputs[0]


class {layer.name.title()}(Function):{start}
    def forward(self, {listed(layer.leaves)}):{labels}
        {block(layer.forward, 8)}{kept}
        return {listed(layer.outputs)}

    def backward(self, {listed(layer.upstream)}):{labels}
        {taken}
        {block(layer.backward, 8)}
        return {listed(layer.gradients)}


def {layer.name}({listed(layer.arguments)}):
    return {made}({listed(layer.leaves)})
"""


def _torch(text: str) -> str:
    return text.replace("np.", "torch.")


def torch_function(layer: Layer) -> str:
    saved = layer.saved
    nones = {n: "None" for n in layer.labels} | {n: "d" + n for n in layer.leaves}
    return f"""import torch


class {layer.name.title()}(torch.autograd.Function):
    @staticmethod
    def forward(ctx, {listed(layer.arguments)}):
        {block(_torch(layer.forward), 8)}
        ctx.saved = ({listed(saved)},)
        return {listed(layer.outputs)}

    @staticmethod
    def backward(ctx, {listed(layer.upstream)}):
        {unpacked(saved, "ctx.saved")}
        {block(_torch(layer.backward), 8)}
        return {listed(nones[n] for n in layer.arguments)}
"""


def torch_layer(layer: Layer) -> str:
    forward, backward, keep = in_class(layer, "self.{}", "self.d{}")
    made = [
        f"self.{n} = torch.tensor({initial(layer, n)})" for n in layer.params
    ] or ["pass"]  # fmt: skip
    return f"""import numpy as np
import torch


class {layer.name.title()}:
    def __init__(self):
        {(chr(10) + " " * 8).join(made)}

    def forward(self, {listed([*layer.inputs, *layer.labels])}):
        {block(_torch(forward), 8)}
        self.cache = ({listed(keep)},)
        return {listed(layer.outputs)}

    def backward(self, {listed(layer.upstream)}{"=1.0" if layer.scalar else ""}):
        {unpacked(keep, "self.cache")}
        {block(_torch(backward), 8)}
        return {listed("d" + n for n in layer.inputs)}
"""


def jax_custom(layer: Layer) -> str:
    def functional(text: str) -> str:
        text = re.sub(r"(\w+)(\[[^=\n]*\]) \+= (.*)", r"\1 = \1.at\2.add(\3)", text)
        text = re.sub(r"(\w+)(\[[^=\n]*\]) = (.*)", r"\1 = \1.at\2.set(\3)", text)
        return text.replace("np.", "jnp.")

    sizes = [
        line
        for line in layer.forward.splitlines()
        if ".shape" in line
        and "@" not in line
        and line.split(" = ")[0].replace(" ", "").split(",")[0] in ("k", "oh", "root")
    ]
    whole = {n.strip() for line in sizes for n in line.split(" = ")[0].split(",")}
    saved = [n for n in layer.saved if n not in whole]
    layer = layer._replace(backward="\n".join([*sizes, layer.backward]))
    saved += [n for n in layer.saved if n not in saved and n not in whole]
    nones = {n: "None" for n in layer.labels} | {n: "d" + n for n in layer.leaves}
    name = layer.name
    return f"""import jax
import jax.numpy as jnp


@jax.custom_vjp
def {name}({listed(layer.arguments)}):
    {block(functional(layer.forward), 4)}
    return {listed(layer.outputs)}


def {name}_fwd({listed(layer.arguments)}):
    {block(functional(layer.forward), 4)}
    return ({listed(layer.outputs)}), ({listed(saved)},)


def {name}_bwd(residuals, {listed(layer.upstream)}):
    {unpacked(saved, "residuals")}
    {block(functional(layer.backward), 4)}
    return ({listed(nones[n] for n in layer.arguments)},)


{name}.defvjp({name}_fwd, {name}_bwd)
"""


def _tape(wrap: str):
    def call(module, layer, arrays, checks):
        return checks.check_tape(getattr(module, layer.name), getattr(module, wrap), **arrays)

    return call


def _function(module, layer, arrays, checks):
    import torch

    tensors = {n: torch.tensor(a) for n, a in arrays.items()}
    return checks.check(getattr(module, layer.name.title()), **tensors)


def _layer(module, layer, arrays, checks):
    import torch

    data = [torch.tensor(arrays[n]) for n in (*layer.inputs, *layer.labels)]
    return checks.check_object(getattr(module, layer.name.title())(), *data)


def _jax(module, layer, arrays, checks):
    import jax.numpy as jnp

    return checks.check(
        getattr(module, layer.name), **{n: jnp.asarray(a) for n, a in arrays.items()}
    )


STYLES = [
    Style("closures on the nodes of a tape", closures_on_nodes, _tape("Tensor"),
          unseen=frozenset(["no-dy"])),
    Style("Function and Variable", functions_with_variables, _tape("Variable"), "einsum"),
    Style("torch.autograd.Function", torch_function, _function, "einsum", needs="torch"),
    Style("jax.custom_vjp", jax_custom, _jax, "einsum", needs="jax"),
    Style("torch, gradients by hand", torch_layer, _layer, "einsum", needs="torch"),
]  # fmt: skip
