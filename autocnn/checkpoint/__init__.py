"""Checkpoints: trees in safetensors files, the project's own and those that carry torchvision's
names. Nothing is pickled.
"""

from autocnn.checkpoint.torchvision import load_torch, save_torch, torch_names
from autocnn.checkpoint.whole import Checkpoint, load, save

__all__ = ["Checkpoint", "load", "load_torch", "save", "save_torch", "torch_names"]
