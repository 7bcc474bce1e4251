"""What ``autocnn chapter`` and ``exercise`` say of the time left."""

import io

from autocnn.cli import countdown
from autocnn.cli.countdown import Countdown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def clock(monkeypatch):
    """Make a clock that the test sets; returns it as a list of one number."""
    now = [0.0]
    monkeypatch.setattr(countdown.time, "monotonic", lambda: now[0])
    return now


def test_lines_now_and_then_where_stderr_is_no_terminal(monkeypatch, capsys):
    now = clock(monkeypatch)
    with Countdown("chapter", {"a": 8.0, "b": 1.0, "c": 1.0}) as count:
        for now[0], label, left in ((4.0, "a", 2), (6.0, "b", 1), (7.0, "c", 0)):
            count(label, left)
    assert capsys.readouterr().err.splitlines() == [
        "chapter: 0 of 3 runs, 0:00",
        "chapter: 2 of 3 runs, 0:06, about 0:00 left",  # nine tenths of the work took 6 s
        "chapter: 3 of 3 runs, 0:07",
    ]


def test_runs_of_unknown_number_take_as_long_as_each_other(monkeypatch, capsys):
    now = clock(monkeypatch)
    with Countdown("exercise 3") as count:
        for now[0], left in ((60.0, 3), (120.0, 2)):
            count("run", left)
    assert capsys.readouterr().err.splitlines() == [
        "exercise 3: 1 of 4 runs, 1:00, about 3:00 left",
        "exercise 3: 2 of 4 runs, 2:00, about 2:00 left",
    ]


def test_one_line_that_changes_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stderr", Terminal())
    with Countdown("chapter", {"a": 1.0, "b": 1.0}) as count:
        count("a label that is longer than the line", 1)
        count("b", 0)
    text = countdown.sys.stderr.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    lines = text.rstrip("\n").split("\r")[1:]
    assert len(lines) == 3 and all(len(line) == 39 for line in lines)
    assert lines[1].startswith("chapter: 1 of 2 runs") and lines[2].startswith("chapter: 2 of 2")


def test_no_stderr_at_all(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with Countdown("chapter", {"a": 1.0}) as count:
        count("a", 0)
    assert count.done == 1
