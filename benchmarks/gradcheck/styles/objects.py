"""Styles of layers as objects that keep what backward needs."""

from benchmarks.gradcheck.styles.layer import Layer, block
from benchmarks.gradcheck.styles.style import (
    HEAD,
    Style,
    by_keys,
    in_class,
    initial,
    listed,
    named,
    unpacked,
)  # fmt: skip

__all__ = ["STYLES"]


def _dys(layer: Layer) -> str:
    return f"{layer.upstream[0]}=1.0" if layer.scalar else listed(layer.upstream)


def _data(layer: Layer) -> str:
    return listed([*layer.inputs, *layer.labels])


def _dx(layer: Layer) -> str:
    return listed("d" + n for n in layer.inputs)


def _made(layer: Layer, template: str = "self.{} = {}", columns: int = 8) -> str:
    lines = [template.format(n, initial(layer, n)) for n in layer.params] or ["pass"]
    return ("\n" + " " * columns).join(lines)


def _name(layer: Layer) -> str:
    return layer.name.title()


def cached(layer: Layer) -> str:
    forward, backward, keep = in_class(layer)
    return f"""{HEAD}class {_name(layer)}:
    def __init__(self):
        {_made(layer)}

    def forward(self, {_data(layer)}):
        {block(forward, 8)}
        self.cache = ({listed(keep)},)
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {unpacked(keep, "self.cache")}
        {block(backward, 8)}
        return {_dx(layer)}
"""


def _kept(layer: Layer, forward: str, keep: list[str]) -> str:
    """forward, then self.n = n for each name that backward reads."""
    return "\n".join([forward, *(f"self.{n} = {n}" for n in keep)])


def _taken(keep: list[str]) -> str:
    return f"{listed(keep)} = {listed('self.' + n for n in keep)}"


def returns_nothing(layer: Layer) -> str:
    forward, backward, keep = in_class(layer, "self.{}", "self.d{}")
    ends = "\n        ".join(f"self.d{n} = d{n}" for n in layer.inputs)
    return f"""{HEAD}class Layer_{_name(layer)}:
    def __init__(self):
        {_made(layer)}

    def forward(self, {_data(layer)}):
        {block(_kept(layer, forward, keep), 8)}
        self.output = {layer.outputs[0]}

    def backward(self, {_dys(layer)}):
        {_taken(keep)}
        {block(backward, 8)}
        {ends}
"""


def learning_rate(layer: Layer) -> str:
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, "self.{}", "d{}")
    steps = "\n        ".join(f"self.{n} -= learning_rate * d{n}" for n in layer.params)
    dy = listed(layer.upstream)
    return f"""{HEAD}class {_name(layer)}Layer:
    def __init__(self):
        {_made(layer)}

    def forward(self, {_data(layer)}):
        {block(_kept(layer, own.forward, keep), 8)}
        return {listed(layer.outputs)}

    def backward(self, {dy}, learning_rate):
        {_taken(keep)}
        {block(own.backward, 8)}
        {steps or "# nothing to learn"}
        return {_dx(layer)}
"""


def rate_of_its_own(layer: Layer) -> str:
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, "self.{}", "d{}")
    steps = "\n        ".join(f"self.{n} = self.{n} - self.lr * d{n}" for n in layer.params)
    return f"""{HEAD}class {_name(layer)}:
    def __init__(self, lr=0.01):
        self.lr = lr
        {_made(layer)}

    def forward(self, {_data(layer)}):
        {block(_kept(layer, own.forward, keep), 8)}
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {_taken(keep)}
        {block(own.backward, 8)}
        {steps}
        return {_dx(layer)}
"""


def optimizer_inside(layer: Layer) -> str:
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, "self.{}", "grad_{}")
    steps = "\n        ".join(
        f"self.{n} = self.{n}_opt.update(self.{n}, grad_{n})" for n in layer.params
    )
    made = _made(layer) + "".join(
        f"\n        self.{n}_opt = StochasticGradientDescent()" for n in layer.params
    )
    return f"""{HEAD}class StochasticGradientDescent:
    def __init__(self, learning_rate=0.01, momentum=0):
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.w_updt = None

    def update(self, w, grad_wrt_w):
        if self.w_updt is None:
            self.w_updt = np.zeros(np.shape(w))
        self.w_updt = self.momentum * self.w_updt + (1 - self.momentum) * grad_wrt_w
        return w - self.learning_rate * self.w_updt


class {_name(layer)}:
    def __init__(self):
        self.trainable = True
        {made}

    def forward_pass(self, {_data(layer)}, training=True):
        {block(_kept(layer, own.forward, keep), 8)}
        return {listed(layer.outputs)}

    def backward_pass(self, {_dys(layer)}):
        {_taken(keep)}
        {block(own.backward, 8)}
        if self.trainable:
            {"pass" if not steps else steps.replace(chr(10), chr(10) + "    ")}
        return {_dx(layer)}
"""


def parameter_objects(layer: Layer) -> str:
    forward, backward, keep = in_class(layer, "self.{}.data", "self.{}.grad")
    return f"""{HEAD}class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = np.zeros_like(data)


class {_name(layer)}:
    def __init__(self):
        {_made(layer, "self.{} = Parameter({})")}

    def forward(self, {_data(layer)}):
        {block(_kept(layer, forward, keep), 8)}
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {_taken(keep)}
        {block(backward, 8)}
        return {_dx(layer)}
"""


def values_and_gradients(layer: Layer) -> str:
    """Gradients accumulate in .gradient until zero_grad."""
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, "self.{}.value", "d{}")
    adds = "\n        ".join(f"self.{n}.gradient += d{n}" for n in layer.params) or "pass"
    return f"""{HEAD}class Param:
    def __init__(self, value):
        self.value = value
        self.gradient = np.zeros_like(value)

    def zero_grad(self):
        self.gradient = np.zeros_like(self.value)


class {_name(layer)}:
    def __init__(self):
        {_made(layer, "self.{} = Param({})")}

    def parameters(self):
        return [p for p in vars(self).values() if isinstance(p, Param)]

    def zero_grad(self):
        for p in self.parameters():
            p.zero_grad()

    def forward(self, {_data(layer)}):
        {block(_kept(layer, own.forward, keep), 8)}
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {_taken(keep)}
        {block(own.backward, 8)}
        {adds}
        return {_dx(layer)}
"""


def lists_in_place(layer: Layer) -> str:
    """self.params and self.grads are lists; gradients are written into the arrays of self.grads."""
    places = {n: k for k, n in enumerate(layer.params)}
    keep = [n for n in layer.saved if n not in layer.params]
    names = f"{unpacked(list(layer.params), 'self.params')}\n" if layer.params else ""
    fills = "\n        ".join(f"self.grads[{k}][...] = d{n}" for n, k in places.items()) or "pass"
    made = listed(initial(layer, n) for n in layer.params)
    return f"""{HEAD}class {_name(layer)}:
    def __init__(self):
        self.params = [{made}]
        self.grads = [np.zeros_like(p) for p in self.params]
        self.cache = None

    def forward(self, {_data(layer)}):
        {block(names + layer.forward, 8)}
        self.cache = ({listed(keep)},)
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {block(names + unpacked(keep, "self.cache"), 8)}
        {block(layer.backward, 8)}
        {fills}
        return {_dx(layer)}
"""


def dicts(layer: Layer) -> str:
    forward, backward, keep = in_class(layer, 'self.params["{}"]', 'self.grads["{}"]')
    made = _made(layer, 'self.params["{}"] = {}')
    return f"""{HEAD}class {_name(layer)}:
    def __init__(self):
        self.params, self.grads, self.cache = {{}}, {{}}, {{}}
        {made}

    def forward(self, {_data(layer)}):
        {block(forward, 8)}
        self.cache = {{{named({n: n for n in keep})}}}
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {unpacked(keep, "self.cache.values()")}
        {block(backward, 8)}
        return {_dx(layer)}
"""


def sequential(layer: Layer) -> str:
    shape = next(iter(layer.inputs.values()))
    data = _data(layer)
    return f"""{cached(layer)}

class Scale:
    def __init__(self, shape):
        self.g = np.random.rand(*shape) + 0.5

    def forward(self, x):
        self.x = x
        return x * self.g

    def backward(self, dy):
        self.dg = (dy * self.x).sum(axis=0)
        return dy * self.g


class Sequential:
    def __init__(self, *layers):
        self.layers = list(layers)

    def forward(self, {data}):
        for layer in self.layers[:-1]:
            x = layer.forward(x)
        return self.layers[-1].forward({data})

    def backward(self, {_dys(layer)}):
        grad = {layer.upstream[0]}
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad


def network():
    return Sequential(Scale({shape[1:]}), {_name(layer)}())
"""


def accumulating(layer: Layer) -> str:
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, "self.{}", "d{}")
    made = _made(layer)
    zeros = "\n        ".join(f"self.{n}_grad = np.zeros_like(self.{n})" for n in layer.params)
    adds = "\n        ".join(f"self.{n}_grad += d{n}" for n in layer.params) or "pass"
    return f"""{HEAD}class {_name(layer)}:
    def __init__(self):
        {made}
        self.zero_grad()

    def zero_grad(self):
        {zeros or "pass"}

    def forward(self, {_data(layer)}):
        {block(_kept(layer, own.forward, keep), 8)}
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {_taken(keep)}
        {block(own.backward, 8)}
        {adds}
        return {_dx(layer)}
"""


def dataclasses(layer: Layer) -> str:
    forward, backward, keep = in_class(layer, "self.{}", "self.d{}")
    fields = "\n    ".join(
        f"{n}: np.ndarray = field(default_factory=lambda: {initial(layer, n)})"
        for n in layer.params
    )
    return f"""from dataclasses import dataclass, field

{HEAD}@dataclass
class {_name(layer)}:
    {fields or "axis: int = 1"}
    cache: tuple = field(default=(), repr=False)

    def forward(self, {_data(layer)}):
        {block(forward, 8)}
        self.cache = ({listed(keep)},)
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {unpacked(keep, "self.cache")}
        {block(backward, 8)}
        return {_dx(layer)}
"""


def returns_a_list(layer: Layer) -> str:
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, "self.{}", "d{}")
    grads = f", [{listed('d' + n for n in layer.params)}]"
    return f"""{HEAD}class {_name(layer)}:
    def __init__(self):
        {_made(layer)}

    def forward(self, {_data(layer)}):
        {block(_kept(layer, own.forward, keep), 8)}
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {_taken(keep)}
        {block(own.backward, 8)}
        return {_dx(layer)}{grads if layer.params else ""}
"""


def returns_a_dict(layer: Layer) -> str:
    text = returns_a_list(layer)
    old = f", [{listed('d' + n for n in layer.params)}]"
    new = f", {{{named({n: 'd' + n for n in layer.params})}}}"
    return text.replace(old, new) if layer.params else text


def backprop(layer: Layer) -> str:
    text = cached(layer)
    return text.replace("def forward(", "def feedforward(").replace(
        "def backward(", "def backpropagate("
    )


def called(layer: Layer) -> str:
    text = cached(layer)
    return text.replace("def forward(", "def __call__(").replace("def backward(", "def gradient(")


def buffers(layer: Layer) -> str:
    """Gradients are written into arrays that were made once."""
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, "self.{}", "d{}")
    zeros = "".join(f"\n        self.d{n} = np.zeros_like(self.{n})" for n in layer.params)
    fills = "\n        ".join(f"np.copyto(self.d{n}, d{n})" for n in layer.params) or "pass"
    return f"""{HEAD}class {_name(layer)}:
    def __init__(self):
        {_made(layer)}{zeros}

    def forward(self, {_data(layer)}):
        {block(_kept(layer, own.forward, keep), 8)}
        return {listed(layer.outputs)}

    def backward(self, {_dys(layer)}):
        {_taken(keep)}
        {block(own.backward, 8)}
        {fills}
        return {_dx(layer)}
"""


def built_late(layer: Layer) -> str:
    text = cached(layer)
    made = _made(layer, columns=12)
    start = f"def __init__(self):\n        {_made(layer)}\n"
    head = f"def forward(self, {_data(layer)}):\n"
    build = f"        if not self.built:\n            {made}\n            self.built = True\n"
    return text.replace(start, "built = False\n").replace(head, head + build)


def static_loss(layer: Layer) -> str:
    """Nothing is passed to a loss's backward."""
    return cached(layer).replace("dy=1.0", "").replace("self, )", "self)").replace("dx * dy", "dx")


def _object(class_name: str = "{}"):
    def call(module, layer, arrays, checks):
        made = getattr(module, class_name.format(_name(layer)))()
        data = [arrays[n] for n in (*layer.inputs, *layer.labels)]
        return checks.check_object(made, *data)

    return call


NNFS = {"x": "inputs", "W": "weights", "b": "biases", "dy": "dvalues", "y": "output"}
ML = {"x": "X", "b": "w0", "dy": "accum_grad"}

STYLES = [
    Style("class with a cache", cached, _object(), recurrent=True),
    Style("forward and backward return None", returns_nothing, _object("Layer_{}"), names=NNFS),
    Style("backward(dy, learning_rate)", learning_rate, _object("{}Layer")),
    Style("rate of the layer's own", rate_of_its_own, _object()),
    Style("optimizer inside", optimizer_inside, _object(), names=ML),
    Style("parameters with .data and .grad", parameter_objects, _object(), recurrent=True),
    Style(".value, .gradient and zero_grad", values_and_gradients, _object()),
    Style("lists written in place", lists_in_place, _object(), recurrent=True),
    Style("dicts of params and grads", dicts, _object(), "columns"),
    Style("inner layers", sequential, _object("network"), compared="inner"),
    Style("accumulation until zero_grad", accumulating, _object()),
    Style("dataclass", dataclasses, _object(), recurrent=True),
    Style("dx, [dW, db]", returns_a_list, _object(), recurrent=True),
    Style("dx, {W: dW}", returns_a_dict, _object()),
    Style("feedforward and backpropagate", backprop, _object(), "columns", True),
    Style("__call__ and gradient", called, _object(), "einsum"),
    Style("buffers", buffers, _object()),
    Style("built at the first forward", built_late, _object(), recurrent=True),
    Style("loops, class", cached, _object(), "loops"),
    Style("loss without dy", static_loss, _object()),
]  # fmt: skip
