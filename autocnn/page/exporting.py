"""``export``: the page as one HTML file that computes by itself, without Python or a network.

autocnn.page.export("page.html")                        # TinyCNN and LeNet-5, trained here
autocnn.page.export("page.html", "runs/lenet5-mnist")   # the network of a run folder
"""

import base64
import functools
import hashlib
import html
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from autocnn.files import atomic_write
from autocnn.inspection.walk import named_layers, walk
from autocnn.ops import softmax
from autocnn.page.bundle import STATIC, bundle
from autocnn.page.trained import Trained, from_run, train_briefly
from autocnn.runs import has_config

__all__ = ["DEFAULT", "WORDS", "export"]

DEFAULT = ("tiny-cnn", "lenet5")
WORDS = frozenset((
    "avg_pool", "conv", "dense", "dropout", "flatten", "global_avg_pool", "identity", "leaky_relu",
    "max_pool", "relu", "relu6", "scaled_tanh", "sigmoid", "silu", "tanh",
))  # fmt: skip
IMAGES = 60  # of the validation set that a file carries, at most


def export(path: str | os.PathLike, *sources: str | os.PathLike | Trained) -> Path:
    """Write a page on which one draws an image and sees the networks compute, both ways.

    path: the HTML file to write. sources: folders of runs, names of networks ("tiny-cnn",
    "lenet5"), or ``Trained`` values; both networks for none. A network given by name is trained
    here (TinyCNN in a second, LeNet-5 in about half a minute) on data that needs no network, and
    the page says which.

    The file loads nothing: its scripts and styles are inside, and its content security policy
    forbids everything else. Returns the path. Raises ValueError for a source that is none of
    these, or for a network with a word that the page cannot compute.
    """
    networks = [_network(_trained(source)) for source in sources or DEFAULT]
    data = json.dumps({"networks": networks}, separators=(",", ":")).replace("<", "\\u003c")
    atomic_write(Path(path), _document(data).encode())
    return Path(path)


def _trained(source: str | os.PathLike | Trained) -> Trained:
    if isinstance(source, Trained):
        return source
    if has_config(source):
        return from_run(source)
    if source in DEFAULT:
        return train_briefly(str(source))
    raise ValueError(
        f"a page carries run folders and {' or '.join(DEFAULT)}; {str(source)!r} is neither. "
        'Train one first: autocnn train NETWORK --data NAME --run FOLDER, then export("page.html", '
        '"FOLDER")'
    )


def _network(trained: Trained) -> dict[str, Any]:
    """Return a network, its weights and images of its data set as JSON."""
    unknown = sorted({layer.name for _, layer in walk(trained.model)} - WORDS)
    if unknown:
        raise ValueError(
            f"a page without Python cannot compute {', '.join(unknown)}; "
            f"open the network with: autocnn page {trained.name}"
        )
    layers, shape = [], trained.data.x_val.shape[1:]
    places = dict(walk(trained.model))
    for place, name in named_layers(trained.model):
        layer = places[place]
        shape, _, _ = layer.init(None, shape)
        params = functools.reduce(lambda tree, step: tree[step], place, trained.params)
        layers.append(
            {
                "name": name,
                "word": layer.name,
                "options": layer.options,
                "shape": shape,
                "params": {key: _array(value) for key, value in params.items()},
            }
        )
    return {
        "name": trained.name,
        "title": trained.title,
        "about": trained.about,
        "input": trained.data.x_val.shape[1:],
        "classes": trained.data.classes,
        "layers": layers,
        "images": _images(trained),
    }


def _images(trained: Trained) -> list[dict[str, Any]]:
    """Return up to IMAGES validation images: some wrong, some doubtful, the others by class."""
    x, y = trained.data.x_val, trained.data.y_val
    p = softmax(trained.model.apply(trained.params, trained.state, x)[0])
    wrong = np.flatnonzero(p.argmax(axis=1) != y)[: IMAGES // 4]
    doubtful = np.argsort(p.max(axis=1), kind="stable")[: IMAGES // 4]
    turns = [np.flatnonzero(y == label) for label in range(len(trained.data.classes))]
    mixed = [i for group in itertools.zip_longest(*turns) for i in group if i is not None]
    chosen = list(dict.fromkeys(map(int, [*wrong, *doubtful, *mixed])))[:IMAGES]
    return [
        {
            "label": int(y[i]),
            "probabilities": [round(float(value), 6) for value in p[i]],
            "pixels": _array(x[i]),
        }
        for i in sorted(chosen)
    ]


def _array(values: np.ndarray) -> dict[str, Any]:
    """Return an array as JSON: its shape, and its numbers in base64 as little as they need.

    float64 and float32 keep their bits; multiples of 1 / 255 become bytes.
    """
    levels = np.rint(values * 255)
    if values.ndim == 3 and np.array_equal((levels / 255).astype(values.dtype), values):
        dtype, raw = "u1", levels.astype(np.uint8)
    else:
        dtype = "f8" if values.dtype == np.float64 else "f4"
        raw = values.astype("<" + dtype)
    encoded = base64.b64encode(np.ascontiguousarray(raw).tobytes()).decode()
    return {"shape": values.shape, "dtype": dtype, "base64": encoded}


def _document(data: str) -> str:
    style = (STATIC / "page.css").read_text(encoding="utf-8")
    script = bundle("static_page.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>autocnn: a convolutional network, forward and backward</title>\n"
        f"<style>{style}</style>\n</head>\n"
        '<body class="autocnn-page">\n<div class="autocnn" data-autocnn="page"></div>\n'
        f'<script type="application/json" data-autocnn="networks">{data}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
