"""``stress``: the smallest setting at which a backward pass is wrong, and where that begins."""

from autocnn.gradcheck.stressing.search import StressReport, stress

__all__ = ["StressReport", "stress"]
