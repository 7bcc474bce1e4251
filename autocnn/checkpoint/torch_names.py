"""Torchvision's names of a network's leaves: AlexNet of one tower, VGG-16, ResNet-50, MobileNetV2
and DenseNet-121, whole or without their classifier; and weights written with them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from autocnn.checkpoint.format import write_tensors
from autocnn.inspection.walk import walk
from autocnn.trees import Tree, leaves

__all__ = ["LEAVES", "UNKNOWN", "save_torch", "torch_names"]


def _transpose_dense(leaf: np.ndarray) -> np.ndarray:
    """Transpose dense weights, the leaves with two axes: (in, out) here, (out, in) in torch."""
    return leaf.T if leaf.ndim == 2 else leaf


def save_torch(path: str | Path, model: Any, params: Tree, state: Tree) -> None:
    """Write a safetensors file with torchvision's names, for torch's ``load_state_dict``.

    Raises ValueError for a network without such names, and for trees of another network; OSError
    when the file cannot be written.
    """
    names, tensors = torch_names(model), {}
    given = leaves({"params": params, "state": state})
    for leaf_path, leaf in given:
        if leaf_path not in names:
            raise ValueError(
                f"the leaf '{leaf_path}' is not this network's; pass the model that the params "
                "belong to"
            )
        name = names[leaf_path]
        tensors[name] = _transpose_dense(np.asarray(leaf))
        if name.endswith(".running_var"):
            tensors[name.replace("running_var", "num_batches_tracked")] = np.zeros((), np.int64)
    if missing := names.keys() - {leaf_path for leaf_path, _ in given}:
        first = min(missing, key=list(names).index)
        raise ValueError(
            f"the leaf '{first}' is missing; pass the network's own trees: "
            "save_torch(path, model, params, state)"
        )
    write_tensors(path, tensors, {"format": "pt"})


def torch_names(model: Any) -> dict[str, str]:
    """Return torchvision's name of each leaf: {"params.4.0.0.main.0.w": "layer1.0.conv1.weight",
    "state.1.mean": ...}.

    Networks without residual blocks, such as AlexNet and VGG, have ``features.i`` up to the flatten
    layer and ``classifier.i`` after it; a trunk without dense layers has ``features.i`` alone.
    Networks with ``concat`` have DenseNet's names, others with ``relu6`` MobileNetV2's, others with
    ``residual`` ResNet's. ValueError for other networks.
    """
    words = {layer.name for _, layer in walk(model)}
    if words & {"table_conv", "subsample"}:  # torch has no such modules
        raise ValueError(UNKNOWN)
    prefix = _plain_prefix
    for word, rule in (
        ("concat", _densenet_prefix),
        ("relu6", _mobilenet_prefix),
        ("residual", _resnet_prefix),
    ):
        if word in words:
            prefix = rule
            break
    names = {}
    for path, layer in walk(model):
        for tree, leaf, theirs in LEAVES.get(layer.name, ()):
            if leaf != "b" or layer.options.get("bias", True):
                ours = ".".join(map(str, (tree, *path, leaf)))
                names[ours] = f"{prefix(model, path, layer)}.{theirs}"
    return names


_WEIGHTS = (("params", "w", "weight"), ("params", "b", "bias"))
_STATISTICS = (("state", "mean", "running_mean"), ("state", "var", "running_var"))
LEAVES = {
    "batch_norm": (*_WEIGHTS, *_STATISTICS),
    **dict.fromkeys(("conv", "conv_transpose", "dense", "group_norm", "layer_norm"), _WEIGHTS),
}
BOTTLENECK = {0: "conv1", 1: "bn1", 3: "conv2", 4: "bn2", 6: "conv3", 7: "bn3"}


def _resnet_prefix(model: Any, path: tuple, layer: Any) -> str:
    match path:
        case (0,):
            return "conv1"
        case (1,):
            return "bn1"
        case (stage, block, 0, "main", i) if i in BOTTLENECK:
            return f"layer{stage - 3}.{block}.{BOTTLENECK[i]}"
        case (stage, block, 0, "shortcut", i):
            return f"layer{stage - 3}.{block}.downsample.{i}"
        case (_,) if layer.name == "dense":
            return "fc"
    raise ValueError(UNKNOWN)


def _mobilenet_prefix(model: Any, path: tuple, layer: Any) -> str:
    words = [part.name for part in model.parts]
    end = words.index("global_avg_pool") if "global_avg_pool" in words else len(words)
    last = end - 1 if len(model.parts[end - 1].parts) == 3 else end  # the last convolution
    match path:
        case (i, j) if i in (0, last):
            return f"features.{i}.{j}"
        case (i, "main", j) | (i, j) if i < last:
            block = model.parts[i]
            main = block.parts[0] if block.name == "residual" else block
            group, place = divmod(j, 3)
            final = group == len(main.parts) // 3  # its convolution and norm have no ReLU6
            return (
                f"features.{i}.conv.{group + place}"
                if final
                else f"features.{i}.conv.{group}.{place}"
            )
        case (_,) if layer.name == "dense":
            return "classifier.1"
    raise ValueError(UNKNOWN)


def _densenet_prefix(model: Any, path: tuple, layer: Any) -> str:
    match path:
        case (0 | 1 as i,):
            return f"features.{('conv0', 'norm0')[i]}"
        case (block, i, 1, j) if block in (4, 6, 8, 10) and j in (0, 2, 3, 5):
            part = {0: "norm1", 2: "conv1", 3: "norm2", 5: "conv2"}[j]
            return f"features.denseblock{block // 2 - 1}.denselayer{i + 1}.{part}"
        case (transition, j) if transition in (5, 7, 9) and j in (0, 2):
            return f"features.transition{(transition - 3) // 2}.{('norm', '', 'conv')[j]}"
        case (11,):
            return "features.norm5"
        case (_,) if layer.name == "dense":
            return "classifier"
    raise ValueError(UNKNOWN)


def _plain_prefix(model: Any, path: tuple, layer: Any) -> str:
    words = [part.name for part in model.parts]
    is_trunk = "dense" not in words and "conv" in words
    if len(path) != 1 or not ("flatten" in words or is_trunk):
        raise ValueError(UNKNOWN)
    (i,), flat = path, words.index("flatten") if "flatten" in words else len(words)
    return f"features.{i}" if i < flat else f"classifier.{i - flat - 1}"


UNKNOWN = (
    "torchvision's names are known for alexnet(towers=1), vgg16(), resnet50(), mobilenet_v2() "
    "and densenet121(), not for this network"
)
