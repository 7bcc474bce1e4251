"""Checkpoints: trees in safetensors files, autocnn's own and those with torchvision's names.

Nothing is pickled, so a file from elsewhere cannot run code.
"""

from autocnn.checkpoint.checkpoint import Checkpoint, load, save
from autocnn.checkpoint.torchvision import load_torch, save_torch, torch_names

__all__ = ["Checkpoint", "load", "load_torch", "save", "save_torch", "torch_names"]
