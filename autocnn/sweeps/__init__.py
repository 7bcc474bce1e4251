"""Sweeps: the same training at every point of a grid and for several seeds, over processes or
machines.
"""

from autocnn.sweeps.sweep import Sweep, sweep

__all__ = ["Sweep", "sweep"]
