"""The chapter's experiments: its sections and exercises, run through either gradient path.

lab = Lab()                                    # every gradient by autograd and by hand, compared
sections = chapter(lab)                        # all; chapter(lab, ["25.4"]) for one
sections = chapter(Lab("fast", trials=20))     # every network repeated over 20 seeds
solution = exercise("25.3", trials=8)
"""

from autocnn.experiments.chapter import chapter
from autocnn.experiments.exercises import (
    Exercise,
    dropout,
    exercise,
    fifth_class,
    filter_sweep,
    kernel_sizes,
    strided,
)
from autocnn.experiments.lab import Lab
from autocnn.experiments.result import Figure, Row, Section
from autocnn.experiments.sections import SECTIONS

__all__ = [
    "SECTIONS",
    "Exercise",
    "Figure",
    "Lab",
    "Row",
    "Section",
    "chapter",
    "dropout",
    "exercise",
    "fifth_class",
    "filter_sweep",
    "kernel_sizes",
    "strided",
]
