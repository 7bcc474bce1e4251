"""Styles of functions: closures, pairs, plain derivatives, and what people pass between them."""

from benchmarks.gradcheck.styles.layer import Layer, block, rename
from benchmarks.gradcheck.styles.style import HEAD, Style, by_keys, listed, named, unpacked

__all__ = ["STYLES"]


def _dys(layer: Layer) -> str:
    return "dy=1.0" if layer.scalar else listed(layer.upstream)


def _dout(layer: Layer) -> str:
    """The cotangent of a pair: a loss has one with a default, last."""
    return listed(layer.upstream)


def closure(layer: Layer) -> str:
    grads = named(dict(zip(layer.leaves, layer.gradients, strict=True)))
    return f"""{HEAD}def {layer.name}({listed(layer.arguments)}):
    {block(layer.forward, 4)}

    def backward({_dys(layer)}):
        {block(layer.backward, 8)}
        return {{{grads}}}

    return {listed(layer.outputs)}, backward
"""


def closure_tuple(layer: Layer) -> str:
    return f"""{HEAD}def {layer.name}({listed(layer.arguments)}):
    {block(layer.forward, 4)}

    def {layer.name}_grad({_dys(layer)}):
        {block(layer.backward, 8)}
        return {listed(layer.gradients)}

    return {listed(layer.outputs)}, {layer.name}_grad
"""


def pair(layer: Layer) -> str:
    saved = layer.saved
    return f"""{HEAD}def {layer.name}_forward({listed(layer.arguments)}):
    {block(layer.forward, 4)}
    cache = ({listed(saved)},)
    return {listed(layer.outputs)}, cache


def {layer.name}_backward({_dout(layer)}, cache):
    {unpacked(saved, "cache")}
    {block(layer.backward, 4)}
    return {listed(layer.gradients)}
"""


def pair_with_settings(layer: Layer) -> str:
    saved = [*layer.saved, "param"]
    return f"""{HEAD}def {layer.name}_forward({listed(layer.arguments)}, param):
    mode = param.get("mode", "train")
    if mode not in ("train", "test"):
        raise ValueError('Invalid forward mode "%s"' % mode)
    {block(layer.forward, 4)}
    param["calls"] = param.get("calls", 0) + 1
    cache = ({listed(saved)})
    return {listed(layer.outputs)}, cache


def {layer.name}_backward({_dout(layer)}, cache):
    {unpacked(saved, "cache")}
    assert param["mode"] == "train"
    {block(layer.backward, 4)}
    return {listed(layer.gradients)}
"""


def dict_cache(layer: Layer) -> str:
    saved = layer.saved
    taken = "\n    ".join(f'{n} = cache["{n}"]' for n in saved)
    grads = named({g: g for g in layer.gradients})
    return f"""{HEAD}def {layer.name}_forward({listed(layer.arguments)}):
    {block(layer.forward, 4)}
    cache = {{{named({n: n for n in saved})}}}
    return {listed(layer.outputs)}, cache


def {layer.name}_backward({_dout(layer)}, cache):
    {taken}
    {block(layer.backward, 4)}
    gradients = {{{grads}}}
    return gradients
"""


def params_first(layer: Layer) -> str:
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, 'params["{}"]', 'grads["{}"]')
    data = [*layer.inputs, *layer.labels]
    dx = ["d" + n for n in layer.inputs]
    return f"""{HEAD}def forward_prop(params, {listed(data)}):
    {block(own.forward, 4)}
    cache = {{{named({n: n for n in keep})}}}
    return {listed(layer.outputs)}, cache


def back_prop(params, cache, {_dout(layer)}):
    grads = {{}}
    {unpacked(keep, "(cache[k] for k in " + repr(keep) + ")")}
    {block(own.backward, 4)}
    {listed("grads[" + repr(n) + "]" for n in layer.inputs)} = {listed(dx)}
    return grads
"""


def vjp(layer: Layer) -> str:
    again = layer.forward
    return f"""{HEAD}def {layer.name}({listed(layer.arguments)}):
    {block(layer.forward, 4)}
    return {listed(layer.outputs)}


def {layer.name}_vjp({_dout(layer)}, {listed(layer.arguments)}):
    {block(again, 4)}
    {block(layer.backward, 4)}
    return {listed(layer.gradients)}
"""


def lambdas(layer: Layer) -> str:
    saved = layer.saved
    return f"""{HEAD}def _run({listed(layer.arguments)}):
    {block(layer.forward, 4)}
    return ({listed(layer.outputs)}), ({listed(saved)},)


def _grad({_dout(layer)}, {listed(saved)}):
    {block(layer.backward, 4)}
    return {listed(layer.gradients)}


_with = lambda y, kept: (y, lambda dy: _grad(dy, *kept))
{layer.name} = lambda {listed(layer.arguments)}: _with(*_run({listed(layer.arguments)}))
"""


def partials(layer: Layer) -> str:
    saved = layer.saved
    return f"""from functools import partial

{HEAD}def _backward({listed(saved)}, {_dout(layer)}):
    {block(layer.backward, 4)}
    return {listed(layer.gradients)}


def {layer.name}({listed(layer.arguments)}):
    {block(layer.forward, 4)}
    return {listed(layer.outputs)}, partial(_backward, {listed(saved)})
"""


def generator(layer: Layer) -> str:
    return f"""{HEAD}def {layer.name}({listed(layer.arguments)}):
    {block(layer.forward, 4)}
    {listed(layer.upstream)} = yield {listed(layer.outputs)}
    {block(layer.backward, 4)}
    yield {listed(layer.gradients)}
"""


def namedtuples(layer: Layer) -> str:
    saved = layer.saved
    fields = "\n    ".join(f"{n}: Any" for n in saved)
    grads = "\n    ".join(f"{g}: np.ndarray" for g in layer.gradients)
    return f"""from typing import Any, NamedTuple

{HEAD}class Saved(NamedTuple):
    {fields}


class Grads(NamedTuple):
    {grads}


def {layer.name}_forward({listed(layer.arguments)}):
    {block(layer.forward, 4)}
    return {listed(layer.outputs)}, Saved({listed(saved)})


def {layer.name}_backward({_dout(layer)}, saved):
    {unpacked(saved, "saved")}
    {block(layer.backward, 4)}
    return Grads({listed(layer.gradients)})
"""


def parameters_first_returned(layer: Layer) -> str:
    """Returned as dW, db, dx."""
    order = [*("d" + n for n in layer.params), *("d" + n for n in layer.inputs)]
    text = pair(layer)
    return text.replace(f"return {listed(layer.gradients)}\n", f"return {listed(order)}\n")


def static_methods(layer: Layer) -> str:
    saved = layer.saved
    return f"""{HEAD}class {layer.name.title()}:
    @staticmethod
    def forward({listed(layer.arguments)}):
        {block(layer.forward, 8)}
        return {listed(layer.outputs)}, ({listed(saved)},)

    @staticmethod
    def backward({_dout(layer)}, cache):
        {unpacked(saved, "cache")}
        {block(layer.backward, 8)}
        return {listed(layer.gradients)}
"""


def context(layer: Layer) -> str:
    saved = layer.saved
    return f"""{HEAD}class Context:
    def __init__(self):
        self.saved_values = ()

    def save_for_backward(self, *values):
        self.saved_values = values


class {layer.name.title()}:
    @staticmethod
    def forward(ctx, {listed(layer.arguments)}):
        {block(layer.forward, 8)}
        ctx.save_for_backward({listed(saved)})
        return {listed(layer.outputs)}

    @staticmethod
    def backward(ctx, {_dout(layer)}):
        {unpacked(saved, "ctx.saved_values")}
        {block(layer.backward, 8)}
        return {listed(layer.gradients)}
"""


def module_cache(layer: Layer) -> str:
    saved = layer.saved
    return f"""{HEAD}cache = {{}}


def forward({listed(layer.arguments)}):
    {block(layer.forward, 4)}
    cache.update({", ".join(f"{n}={n}" for n in saved)})
    return {listed(layer.outputs)}


def backward({_dout(layer)}):
    {unpacked(saved, "(cache[k] for k in " + repr(saved) + ")")}
    {block(layer.backward, 4)}
    return {listed(layer.gradients)}
"""


def single_precision(layer: Layer) -> str:
    cast = "\n".join(f"{n} = np.asarray({n}, dtype=np.float32)" for n in layer.leaves)
    body = rename(layer.forward, {}).replace("np.zeros(", "np.zeros(shape=")
    body = body.replace("np.zeros(shape=", "np.zeros(dtype=np.float32, shape=")
    return closure(layer._replace(forward=f"{cast}\n{body}"))


def into_the_cache(layer: Layer) -> str:
    """The input's gradient is written into arrays that forward kept."""
    kept = f"{listed(layer.inputs)} = {listed(n + '.copy()' for n in layer.inputs)}\n"
    scratch = next(iter(layer.inputs))
    written = f"{scratch}[...] = d{scratch}\nd{scratch} = {scratch}"
    return pair(
        layer._replace(
            forward=kept + layer.forward,
            backward=f"{layer.backward}\n{written}",
        )
    )


def _pair(module, layer, arrays, checks):
    forward, backward = (getattr(module, f"{layer.name}_{w}") for w in ("forward", "backward"))
    return checks.check_pair(forward, backward, **arrays)


def _check(module, layer, arrays, checks):
    return checks.check(getattr(module, layer.name), **arrays)


def _vjp(module, layer, arrays, checks):
    functions = (getattr(module, layer.name + w) for w in ("", "_vjp"))
    return checks.check_vjp(*functions, *(arrays[n] for n in layer.arguments))


def _settings(module, layer, arrays, checks):
    return _pair(module, layer, arrays | {"param": {"mode": "train"}}, checks)


def _prop(module, layer, arrays, checks):
    params = {n: arrays[n] for n in layer.params}
    data = {n: a for n, a in arrays.items() if n not in params}
    return checks.check_pair(module.forward_prop, module.back_prop, params=params, **data)


def _two(module, layer, arrays, checks):
    return checks.check_pair(module.forward, module.backward, **arrays)


def _static(module, layer, arrays, checks):
    owner = getattr(module, layer.name.title())
    return checks.check_pair(owner.forward, owner.backward, **arrays)


def _context(module, layer, arrays, checks):
    owner = getattr(module, layer.name.title())
    return checks.check_pair(owner.forward, owner.backward, ctx=module.Context(), **arrays)


def _file(module, layer, arrays, checks):
    return checks.command_line(module, layer)


COURSERA = {"x": "A_prev", "y": "Z"}
CS231N = {"W": "w", "y": "out"}
HINTON = {"x": "inputs", "y": "outputs", "W": "weights", "b": "bias"}

STYLES = [
    Style("closure", closure, _check, recurrent=True),
    Style("closure, tuple", closure_tuple, _check),
    Style("pair with cache", pair, _pair, recurrent=True, names=CS231N),
    Style("pair with a dict of settings", pair_with_settings, _settings, names=CS231N),
    Style("pair, samples in columns", pair, _pair, "columns", True, COURSERA),
    Style("pair, dict cache and dict gradients", dict_cache, _pair, "columns", True, COURSERA),
    Style("pair of a dict of parameters", params_first, _prop, scaled=True),
    Style("plain vjp", vjp, _vjp, recurrent=True),
    Style("lambdas", lambdas, _check),
    Style("functools.partial", partials, _check, recurrent=True),
    Style("generator", generator, _check, recurrent=True),
    Style("named tuples", namedtuples, _pair, recurrent=True),
    Style("parameters' gradients first", parameters_first_returned, _pair),
    Style("static methods", static_methods, _static, recurrent=True, names=HINTON),
    Style("static methods with a context", context, _context),
    Style("cache of the module", module_cache, _two, recurrent=True),
    Style("loops", closure, _check, "loops"),
    Style("loops, pair", pair, _pair, "loops"),
    Style("einsum, pair", pair, _pair, "einsum"),
    Style("float32 inside", single_precision, _check, float32=True),
    Style("gradient written into the cache", into_the_cache, _pair),
    Style("found in a file by name", pair, _file, names=CS231N),
]  # fmt: skip
