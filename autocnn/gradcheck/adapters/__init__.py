"""The ways in which people write backward passes, each turned into one Problem: closure, pair,
plain vjp, object, tape.
"""

from autocnn.gradcheck.adapters.functions import closure, pair, vjp
from autocnn.gradcheck.adapters.objects import instance
from autocnn.gradcheck.adapters.tape import tape

__all__ = ["closure", "instance", "pair", "tape", "vjp"]
