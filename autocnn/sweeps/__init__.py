"""Sweeps: train a network over a grid of options and several seeds, on processes or machines."""

from autocnn.sweeps.sweep import Sweep, sweep

__all__ = ["Sweep", "sweep"]
