"""Code as people write it: each module in `cases` runs one check and says what must come out."""

import importlib
import pkgutil

import pytest

from tests.gradcheck import cases

FOUND = [m.name for m in pkgutil.iter_modules(cases.__path__)]
NAMES = sorted(n for n in FOUND if not n.startswith("naming"))  # those have a table of their own


@pytest.mark.parametrize("name", NAMES)
def test_case(name):
    """EXPECT holds "verdict" ("agree" is report.ok), "codes" of which one must be a cause's when it
    is wrong, "not" that must not appear, "leaves" that must be compared, "says" of which one must
    be in the text."""
    case = importlib.import_module(f"tests.gradcheck.cases.{name}")
    expect, report = case.EXPECT, case.run()
    codes = {c.code for c in report.causes}
    verdict = "agree" if report.ok else "wrong"
    assert expect["verdict"] in ("either", verdict), str(report)
    if verdict == "wrong" and expect.get("codes"):
        assert codes & expect["codes"], str(report)
    assert not codes & set(expect.get("not", ())), str(report)
    assert set(expect.get("leaves", ())) <= set(report.leaves), str(report)
    if expect.get("says"):
        text = " ".join(str(report).split()).lower()
        assert any(word.lower() in text for word in expect["says"]), str(report)
