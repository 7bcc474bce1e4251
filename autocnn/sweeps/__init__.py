"""Sweeps: train a network over a grid of options and several seeds, on processes or machines."""

from autocnn.sweeps.search import Between, search
from autocnn.sweeps.sweep import Sweep, sweep

__all__ = ["Between", "Sweep", "search", "sweep"]
