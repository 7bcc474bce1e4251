"""The arguments that `autocnn check` calls functions with: from --shape, from --arg, from the file,
and what to suggest where some are missing."""

import ast
import inspect
import json
import re
import shlex
import sys
import textwrap
from typing import Any

import numpy as np

from autocnn.cli.check_find import Target, parameters_of
from autocnn.gradcheck.devices import is_jax_function

__all__ = [
    "default_arguments",
    "given_arguments",
    "in_library",
    "parse_values",
    "require_fit",
    "suggestion",
]

_LABELS = frozenset(["y", "labels", "label", "target", "targets", "indices", "index", "idx"])
_DICTS = re.compile(r"(params?|config|conf|cfg|options?|opts?|settings|hparams|parameters|kwargs)$")
_ARRAYS = re.compile(r"[A-Z].*|[a-z]\d*|[a-z]+\d+|weights?|bias|biases|gamma|beta")
#: Numbers and words that settings usually have, for the suggested call.
_USUAL = {
    "mode": "train", "stride": 1, "pad": 1, "padding": 1, "p": 0.5, "keep_prob": 0.5, "eps": 1e-5,
    "momentum": 0.9, "dilation": 1, "groups": 1, "axis": 0, "alpha": 0.1, "lr": 0.1, "reg": 0.1,
    "training": True, "train": True, "pool_height": 2, "pool_width": 2, "pool_size": 2, "seed": 0,
    "kernel_size": 3, "in_channels": 3, "out_channels": 4,
}  # fmt: skip


def given_arguments(shapes: list[str], values: list[str], seed: int) -> dict[str, Any]:
    """The arrays of --shape and the values of --arg, by name."""
    arrays, other = _arrays(shapes, seed), parse_values(values)
    found = dict(other)
    for name, array in arrays.items():
        top, dot, key = name.partition(".")
        if (name in other) or (dot and not isinstance(found.setdefault(top, {}), dict)):
            raise ValueError(f"{top} is given twice, by --shape and by --arg")
        if dot:  # params.W=3,4: an array in a dict
            found[top][key] = array
        else:
            found[name] = array
    return found


def _arrays(shapes: list[str], seed: int) -> dict[str, Any]:
    """x=3,4 -> standard normal (3, 4); labels=5:10 -> five integers in 0..9; keep=0.7 and flags
    -> the number itself; params.W=3,4 -> an array in the dict params.
    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for text in shapes:
        name, equals, size = text.partition("=")
        size, colon, top = size.partition(":")
        try:
            if not equals or not all(n.isidentifier() for n in name.split(".")[:2]):
                raise ValueError
            if "." in size:
                arrays[name] = float(size)
                continue
            dims = tuple(int(n) for n in size.split(",") if n.strip())
            if any(n < 1 for n in dims) or (colon and int(top) < 1):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"--shape {text} is not NAME=SIZES, for example --shape x=3,4,9,8 or "
                "--shape labels=5:10; other values are given by --arg, for example "
                '--arg stride=2 or --arg bn_param=\'{"mode": "train"}\''
            ) from None
        arrays[name] = (
            rng.integers(int(top), size=dims) if colon else np.asarray(rng.standard_normal(dims))
        )
    return arrays


def parse_values(values: list[str]) -> dict[str, Any]:
    """--arg NAME=VALUE: JSON, a Python literal, or a word."""
    found: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(
                f"--arg {text} is not NAME=VALUE, for example --arg stride=2 or "
                '--arg bn_param=\'{"mode": "train"}\''
            )
        found[name] = _value(name, value)
    return found


def _value(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if text.lstrip()[:1] in tuple("{[("):
            raise ValueError(
                f"--arg {name}={text} is neither JSON nor a Python literal: quote it for the "
                f'shell, for example --arg {name}=\'{{"mode": "train"}}\''
            ) from None
        return text


def in_library(module: Any, target: Target, given: dict[str, Any]) -> dict[str, Any]:
    """The arrays of --shape as what the file computes with: jax arrays for a jax.custom_vjp
    function, torch tensors where the file imports torch and no numpy."""
    if is_jax_function(target.functions[0]):
        make = sys.modules["jax"].numpy.asarray
    else:
        homes = {getattr(v, "__name__", "") for v in vars(module).values() if inspect.ismodule(v)}
        if "torch" not in homes or "numpy" in homes:
            return given
        make = sys.modules["torch"].from_numpy
    return {
        name: make(np.array(value)) if isinstance(value, np.ndarray) else value
        for name, value in given.items()
    }


def default_arguments(module: Any, target: Target, seed: int) -> dict[str, Any]:
    """The arguments that the file itself gives: NAME_inputs, NAME_shapes or defaults that are
    arrays; {} where it gives none."""
    for stem in target.stems:
        inputs = getattr(module, f"{stem}_inputs", None)
        if inputs is not None:
            if callable(inputs):
                inputs = inputs(seed) if inspect.signature(inputs).parameters else inputs()
            if not isinstance(inputs, dict):
                raise ValueError(
                    f"{stem}_inputs must be a dict of arrays by argument name, got "
                    f"{type(inputs).__name__}"
                )
            return dict(inputs)
        shapes = getattr(module, f"{stem}_shapes", None)
        if isinstance(shapes, dict):
            rng = np.random.default_rng(seed)
            return {n: np.asarray(rng.standard_normal(s)) for n, s in shapes.items()}
    parameters = parameters_of(target.functions[0])
    return {p.name: p.default for p in parameters if isinstance(p.default, np.ndarray)}


def require_fit(target: Target, given: dict[str, Any], call: str) -> None:
    """Raise ValueError unless every argument that has no default is given, and nothing else.

    `call` is the command as it was given; the message repeats it with what is missing.
    """
    function = target.functions[0]
    parameters = parameters_of(function)
    if not parameters:
        return
    names = [p.name for p in parameters]
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in given]
    extra = [n for n in given if n not in names]
    signature = f"{target.name}({', '.join(names)})"
    if missing and not given:
        raise ValueError(
            f"{signature} needs arguments: {suggestion(call, function, missing)}, or define "
            f"{target.stems[-1]}_inputs or {target.stems[-1]}_shapes in the file"
        )
    if missing:
        raise ValueError(
            f"{signature} also needs {', '.join(missing)}: {suggestion(call, function, missing)}"
        )
    if extra and not _takes_any(function):
        raise ValueError(f"{signature} has no argument {', '.join(extra)}")


def _takes_any(function: Any) -> bool:
    function = getattr(function, "forward", function)
    try:
        kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return True
    return inspect.Parameter.VAR_KEYWORD in kinds


def suggestion(call: str, function: Any, missing: list[str]) -> str:
    """The given command with an option for each missing argument, by what its name and the
    function's source say it is."""
    options = [_option(function, name, first=k == 0) for k, name in enumerate(missing)]
    return " ".join([call, *options])


def _option(function: Any, name: str, first: bool) -> str:
    settings = _settings(function, name)
    arrays = [key for key in settings if key not in _USUAL]
    if any(_ARRAYS.fullmatch(key) for key in arrays):
        return " ".join(f"--shape {name}.{key}={'4' if key[0] == 'b' else '3,4'}" for key in arrays)
    if settings or _DICTS.search(name.lower()):
        settings = settings or {"mode": "train"}
        return f"--arg {name}={shlex.quote(json.dumps(settings))}"
    if name.lower() in _USUAL:
        return f"--arg {name}={json.dumps(_USUAL[name.lower()])}"
    if name.lower() in _LABELS:
        return f"--shape {name}=3:4"
    return f"--shape {name}={'3,4' if first or name.lower() in ('x', 'w') else '4'}"


def _settings(function: Any, name: str) -> dict[str, Any]:
    """The keys that a function reads from the argument `name` as a dict of settings, with usual
    values. Keys that are only read by .get need not be given."""
    function = getattr(function, "forward", function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return {}
    needed: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Load)
            and _is(node.value, name)
        ):
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                needed[node.slice.value] = _USUAL.get(node.slice.value, 1)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("get", "setdefault")
            and _is(node.func.value, name)
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            key = str(node.args[0].value)
            default = node.args[1] if len(node.args) > 1 else None
            literal = default.value if isinstance(default, ast.Constant) else None
            optional[key] = _USUAL.get(key, 1) if literal is None else literal
    return needed or optional


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
