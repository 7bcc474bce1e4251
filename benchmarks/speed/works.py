"""The works that are measured, written to files from which every engine starts alike.

``python -m benchmarks.speed.works WORK FOLDER`` writes the network, weights and images of a work, a
``Work`` as JSON, and prints its exact results: those of ``reference`` in double precision. The
files need no autocnn to read, so that another engine's process holds nothing of ours.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Work(NamedTuple):
    """kind: "run" (training with metrics), "forward" (evaluation) or "gradient" (of the loss, in
    training). images: in a batch, of ``size`` x ``size``. cold: whether to measure the first answer
    of a new process without any cache.
    """

    network: str
    kind: str
    images: int
    size: int
    cold: bool = False


WORKS = {
    "TinyCNN, 80 epochs, float64": Work("tiny_cnn", "run", 18, 8, cold=True),
    "LeNet-5 training step, 32 images": Work("lenet5", "gradient", 32, 28, cold=True),
    "LeNet-5 training step, 128 images": Work("lenet5", "gradient", 128, 28),
    "VGG-16 forward, 1 image": Work("vgg16", "forward", 1, 224),
    "VGG-16 forward, 4 images": Work("vgg16", "forward", 4, 224),
    "ResNet-50 forward, 1 image": Work("resnet50", "forward", 1, 224, cold=True),
    "ResNet-50 forward, 4 images": Work("resnet50", "forward", 4, 224),
    "ResNet-50 training step, 8 of 96": Work("resnet50", "gradient", 8, 96, cold=True),
    "ResNet-50 training step, 8 of 224": Work("resnet50", "gradient", 8, 224),
    "VGG-16 training step, 2 of 224": Work("vgg16", "gradient", 2, 224),
}
RATE, EPOCHS = 0.12, 80  # of the run, as ``ac.train`` has them


def build(work, nn):
    """Return a work's network in the interpretation ``nn``, and the shape of one image."""
    from autocnn import models

    channels = 1 if work.network in ("tiny_cnn", "lenet5") else 3
    options = {"dropout": 0.0} if work.network == "vgg16" else {}  # no two draw the same masks
    return getattr(models, work.network)(nn=nn, **options), (channels, work.size, work.size)


def write(work, folder):
    """Write ``work.json``, ``numbers.bin`` and, for a forward where onnx is installed,
    ``graph.onnx``.
    """
    import autocnn as ac

    model, shape = build(work, ac.layers)
    (classes,), params, state = model.init(
        3 if work.kind == "run" else 0, shape, "float64" if work.kind == "run" else "float32"
    )
    generator = np.random.default_rng(work.images)
    if work.kind == "run":
        data = ac.data.patterns()
        arrays = {k: getattr(data, k) for k in ("x_train", "y_train", "x_val", "y_val")}
        generator = np.random.default_rng(11)
        n = len(data.x_train)
        arrays["orders"] = np.stack([generator.permutation(n) for _ in range(EPOCHS)])
    else:
        x = generator.normal(size=(work.images, *shape)).astype("float32")
        arrays = {"x": x, "labels": generator.integers(0, classes, work.images)}
    with open(folder / "numbers.bin", "wb") as file:

        def put(a):
            place = {"at": file.tell(), "shape": a.shape, "dtype": a.dtype.name}
            file.write(np.ascontiguousarray(a).tobytes())
            return place

        def describe(layer, p, s, shape):
            node = {"name": layer.name, "options": layer.options, "shape": shape, "parts": []}
            if layer.name == "serial":
                for part, p_, s_ in zip(layer.parts, p, s, strict=True):
                    node["parts"].append(describe(part, p_, s_, shape))
                    shape = part.init(None, shape)[0]
            elif layer.name == "residual":
                names = ("main", "shortcut")
                node["parts"] = [
                    describe(part, p[k], s[k], shape)
                    for part, k in zip(layer.parts, names, strict=True)
                ]
            else:
                node["params"] = {k: put(a) for k, a in p.items()}
                node["state"] = {k: put(a) for k, a in s.items()}
            return node

        about = {"network": describe(model, params, state, shape)}
        about["arrays"] = {name: put(a) for name, a in arrays.items()}
    (folder / "work.json").write_text(json.dumps({**about, "work": work}))
    if work.kind == "forward" and importlib.util.find_spec("onnx"):
        ac.export.save_onnx(folder / "graph.onnx", model, params, state, shape)


class Files(NamedTuple):
    """A work's files as an engine reads them: what ``write`` has described, and the folder."""

    folder: Path
    about: dict

    @property
    def work(self):
        return Work(*self.about["work"])

    def get(self, place):
        """Read an array by its place in the file."""
        count = int(np.prod(place["shape"]))
        path, dtype = self.folder / "numbers.bin", place["dtype"]
        return np.fromfile(path, dtype, count, offset=place["at"]).reshape(place["shape"])

    def arrays(self):
        """Read all arrays but the weights: images, labels, orders."""
        return {name: self.get(place) for name, place in self.about["arrays"].items()}

    def trees(self):
        """Read the weights as our two trees, (params, state)."""

        def read(node, kind):
            if node["name"] == "residual":
                parts = zip(("main", "shortcut"), node["parts"], strict=True)
                return {k: read(part, kind) for k, part in parts}
            if node["name"] == "serial":
                return [read(part, kind) for part in node["parts"]]
            return {k: self.get(place) for k, place in node[kind].items()}

        return read(self.about["network"], "params"), read(self.about["network"], "state")


def files(folder):
    """Open a work's files."""
    return Files(Path(folder), json.loads((Path(folder) / "work.json").read_text()))


def exact(found):
    """Return the work's results in double precision, by hand in NumPy alone: [logits], [loss, first
    gradient], or the last training loss.
    """
    import reference
    from autocnn.trees import tree_map
    from benchmarks.speed.in_autocnn import results

    params, state = (tree_map(lambda a: a.astype("float64"), tree) for tree in found.trees())
    return results(found, reference, params, state, "float64")()


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    write(Work(*json.loads(sys.argv[1])), folder)
    print(json.dumps([np.asarray(a).tolist() for a in exact(files(folder))]))
