"""Styles of whole losses: one number and its gradients, returned together or side by side."""

from benchmarks.gradcheck.styles.layer import Layer, block
from benchmarks.gradcheck.styles.style import HEAD, Style, by_keys, initial, listed, named

__all__ = ["STYLES"]


def _loss(layer: Layer) -> Layer:
    """The layer with half of its squared distance from a target as the loss."""
    if layer.scalar:
        return layer._replace(
            forward=f"{layer.forward}\nloss = {layer.outputs[0]}",
            backward=f"{layer.upstream[0]} = 1.0\n{layer.backward}",
        )
    y = layer.outputs[0]
    return layer._replace(
        forward=f"{layer.forward}\ntarget = np.cos(np.arange({y}.size)).reshape({y}.shape)\n"
        f"diff = {y} - target\nloss = 0.5 * np.sum(diff ** 2)",
        backward=f"{layer.upstream[0]} = diff\n{layer.backward}",
    )


def loss_and_gradients(layer: Layer) -> str:
    whole = _loss(layer)
    return f"""{HEAD}def loss({listed(layer.arguments)}):
    {block(whole.forward, 4)}
    {block(whole.backward, 4)}
    return loss, {listed(layer.gradients)}
"""


def gradients_in_a_dict(layer: Layer) -> str:
    whole = _loss(layer)
    grads = named(dict(zip(layer.leaves, layer.gradients, strict=True)))
    return f"""{HEAD}def cost_and_grads({listed(layer.arguments)}):
    {block(whole.forward, 4)}
    {block(whole.backward, 4)}
    return {{"loss": loss, "grads": {{{grads}}}}}
"""


def beside(layer: Layer) -> str:
    whole = _loss(layer)
    grads = [*("d" + n for n in layer.leaves)]
    return f"""{HEAD}def loss({listed(layer.arguments)}):
    {block(whole.forward, 4)}
    return loss


def gradient({listed(layer.arguments)}):
    {block(whole.forward, 4)}
    {block(whole.backward, 4)}
    return {listed(grads)}
"""


def propagate(layer: Layer) -> str:
    """params, X, Y -> grads, cost, as exercises have it."""
    whole = by_keys(_loss(layer), 'parameters["{}"]', 'grads["d{}"]')
    data = [*layer.inputs, *layer.labels]
    return f"""{HEAD}def propagate(parameters, {listed(data)}):
    grads = {{}}
    {block(whole.forward, 4)}
    {block(whole.backward, 4)}
    cost = np.squeeze(np.array(loss))
    return grads, cost
"""


def net(layer: Layer) -> str:
    whole = by_keys(_loss(layer), 'self.params["{}"]', 'grads["{}"]')
    made = "\n        ".join(f'self.params["{n}"] = {initial(layer, n)}' for n in layer.params)
    label = "y" if layer.labels else "y=None"
    targets = "t = y\n" if layer.labels else ""
    return f"""{HEAD}class Net:
    def __init__(self):
        self.params = {{}}
        {made}
        self.reg = 0.0

    def loss(self, X, {label}):
        grads = {{}}
        {block(targets + whole.forward, 8)}
        {block(whole.backward, 8)}
        return loss, grads
"""


def _loss_call(module, layer, arrays, checks):
    return checks.check(module.loss, **arrays)


def _cost_call(module, layer, arrays, checks):
    return checks.check(module.cost_and_grads, **arrays)


def _beside_call(module, layer, arrays, checks):
    return checks.check_vjp(module.loss, module.gradient, *(arrays[n] for n in layer.arguments))


def _propagate_call(module, layer, arrays, checks):
    params = {n: arrays[n] for n in layer.params}
    data = {n: a for n, a in arrays.items() if n not in params}
    return checks.check(module.propagate, parameters=params, **data)


def _net_call(module, layer, arrays, checks):
    data = [arrays[n] for n in (*layer.inputs, *layer.labels)]
    return checks.check_object(module.Net(), *data)


STYLES = [
    Style("loss, then each gradient", loss_and_gradients, _loss_call),
    Style("loss and gradients in a dict", gradients_in_a_dict, _cost_call),
    Style("loss beside gradient", beside, _beside_call),
    Style("grads, cost of parameters", propagate, _propagate_call, "columns", scaled=True,
          names={"x": "X", "t": "Y"}, compared="params"),
    Style("net.loss(X, y)", net, _net_call, names={"x": "X"}, scaled=True, compared="params"),
]  # fmt: skip
