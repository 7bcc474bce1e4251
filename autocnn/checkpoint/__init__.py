"""Checkpoints: trees in safetensors files, autocnn's own and those with torchvision's names, and
weights from files of other programs.

No file from elsewhere can run code: pickled files of torch are read by torch, tensors only.
"""

from autocnn.checkpoint.checkpoint import Checkpoint, load, save
from autocnn.checkpoint.torch_names import save_torch, torch_names
from autocnn.checkpoint.weights import Weights, load_torch, load_weights

__all__ = [
    "Checkpoint",
    "Weights",
    "load",
    "load_torch",
    "load_weights",
    "save",
    "save_torch",
    "torch_names",
]
