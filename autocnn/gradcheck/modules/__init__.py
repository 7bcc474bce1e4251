"""Whole networks of torch and jax: their gradients together, and every custom rule inside on what
it is fed.
"""

from autocnn.gradcheck.modules.report import CustomRule, NetworkReport

__all__ = ["CustomRule", "NetworkReport"]
