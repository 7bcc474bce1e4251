"""The whole chapter: all sections, or some, through one lab."""

from collections.abc import Callable, Iterable

from autocnn.experiments.lab import Job, Lab, cost
from autocnn.experiments.result import Section
from autocnn.experiments.sections import SECTIONS

__all__ = ["chapter", "choose", "jobs"]


def chapter(
    lab: Lab | None = None,
    sections: Iterable[str] | None = None,
    on_section: Callable[[Section], None] = lambda section: None,
) -> list[Section]:
    """Run sections of the chapter and return them in order.

    lab: decides the gradient path, and whether the chapter's runs are made once or repeated;
    ``Lab()`` by default. sections: numbers such as "25.4"; by default all, or all that depend on a
    seed for a lab with ``trials``. on_section: called with each section as soon as its runs are
    there, in any order.

    Raises ValueError for an unknown section, or one that cannot be repeated.
    """
    lab = lab or Lab()
    chosen = choose(sections, lab.trials is not None)
    waiting = {number: list(SECTIONS[number].jobs(lab)) for number in chosen}
    done = {}

    def write_those_ready():
        for number in [number for number in waiting if lab.has(waiting[number])]:
            del waiting[number]
            done[number] = SECTIONS[number].write(lab)
            on_section(done[number])

    for _ in lab.compute(jobs(lab, chosen)):
        write_those_ready()
    write_those_ready()
    return [done[number] for number in chosen]


def jobs(lab: Lab, sections: Iterable[str] | None = None) -> list[Job]:
    """Return the jobs that ``chapter`` computes for these sections, each once, in order."""
    chosen = choose(sections, lab.trials is not None)
    unique = dict.fromkeys(job for number in chosen for job in SECTIONS[number].jobs(lab))
    return sorted(unique, key=cost, reverse=True)  # so that no process ends with a long one


def choose(sections: Iterable[str] | None = None, repeated: bool = False) -> list[str]:
    """Return the numbers of the wanted sections in the chapter's order, all by default."""
    possible = [number for number in SECTIONS if SECTIONS[number].repeatable or not repeated]
    wanted = possible if sections is None else list(sections)
    for number in wanted:
        if number not in SECTIONS:
            raise ValueError(
                f"there is no section {number!r}; the sections are {', '.join(SECTIONS)}"
            )
        if number not in possible:
            raise ValueError(
                f"section {number!r} cannot be repeated; those that depend on a seed are "
                f"{', '.join(possible)}"
            )
    return [number for number in possible if number in wanted]
