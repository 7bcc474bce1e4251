"""What the chapter's exercises ask, and how they are numbered.

The chapter numbers its exercises 25.1 to 25.5, and its sections 25.1 to 25.6: exercise 25.3 is not
about section 25.3. Where there is a choice, an exercise is called by 1 to 5.
"""

__all__ = ["NUMBERS", "QUESTIONS", "check_number"]

QUESTIONS = {
    "1": "Add a fifth class (cross). At how many classes do 3 filters stop sufficing?",
    "2": "How do kernels of 2x2 and 5x5 compare with 3x3?",
    "3": "Can a convolution with stride 2 take the place of pooling?",
    "4": "Does dropout of 0.3 before the dense layer help?",
    "5": "Sweep the filters from 1 to 8. Is the CNN more or less sensitive to them than the MLP to "
    "its width?",
}
NUMBERS = (
    "Exercise 3 is what the chapter calls exercise 25.3, not its section 25.3; for a section, use "
    "autocnn chapter --sections 25.3."
)


def check_number(number: str | int) -> str:
    """Return the number of an exercise as a key of ``QUESTIONS``; ValueError for an unknown one."""
    name = str(number).strip().removeprefix("25.")
    if name not in QUESTIONS:
        raise ValueError(
            f"there is no exercise {number!r}; the exercises are {', '.join(QUESTIONS)} (or 25.1 "
            f"to 25.{len(QUESTIONS)}); autocnn exercise lists them"
        )
    return name
