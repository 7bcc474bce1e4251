"""Experiments: the chapter's sections as functions that return what they found."""

from autocnn.experiments.chapter import SECTIONS, chapter, repetitions
from autocnn.experiments.exercises import (
    dropout,
    exercise,
    fifth_class,
    filter_sweep,
    kernel_sizes,
    strided,
)

__all__ = [
    "SECTIONS",
    "chapter",
    "dropout",
    "exercise",
    "fifth_class",
    "filter_sweep",
    "kernel_sizes",
    "repetitions",
    "strided",
]
