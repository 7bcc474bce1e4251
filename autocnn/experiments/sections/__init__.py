"""The chapter's sections, and one beyond it, one page each, for one run or for many.

A page has two functions of a ``Lab``: ``jobs(lab)`` lists what must be computed, ``write(lab)``
returns a ``Section`` from the results. A lab with ``trials`` repeats every network; one without
trains the chapter's own runs, plus ``TRIALS`` repetitions where the chapter concludes from one.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from autocnn.experiments.lab import Job, Lab
from autocnn.experiments.result import Section
from autocnn.experiments.sections import (
    against_mlp,
    classes,
    inference,
    kernels,
    networks,
    noise,
    widths,
)

__all__ = ["SECTIONS", "Page"]


class Page(NamedTuple):
    """A section's page. ``page(lab)`` computes what is missing and returns the ``Section``.

    repeatable: whether its results depend on a seed, so that it may be repeated.
    """

    jobs: Callable[[Lab], Iterable[Job]]
    write: Callable[[Lab], Section]
    repeatable: bool = True

    def __call__(self, lab: Lab) -> Section:
        for _ in lab.compute(self.jobs(lab)):
            pass
        return self.write(lab)


SECTIONS = {
    "25.1": Page(against_mlp.jobs, against_mlp.write),
    "25.2": Page(widths.jobs, widths.write),
    "25.3": Page(classes.jobs, classes.write),
    "25.4": Page(inference.jobs, inference.write),
    "25.5": Page(kernels.jobs, kernels.write),
    "25.6": Page(networks.jobs, networks.write, repeatable=False),
    "noise": Page(noise.jobs, noise.write),
}
