"""The `gradcheck` fixture: check a backward pass in a test, and fail with the checker's whole
report.

    def test_conv(gradcheck):
        # a function of (y, backward); raises AssertionError when it is wrong
        gradcheck(conv, x=x, w=w)
        gradcheck.pair(conv_forward, conv_backward, x=x, w=w)
        gradcheck.check_pair(conv_forward, conv_backward, x=x, w=w)  # the same

`autocnn.gradcheck.check(...)` works in a test, too: `assert check(...)` or
`check(...).raise_if_wrong()`. A test that makes a wrong report and does not look at it fails.

It ships with the package: pytest finds it by its entry point, and nothing is imported before a test
asks for it.
"""

import functools
import sys
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any

import pytest


class Checker:
    """The checks of `autocnn.gradcheck`, each of which raises AssertionError unless the report is
    ok: gradcheck(f, x=x), gradcheck.pair(...), and by the module's own names
    gradcheck.check(f, x=x), gradcheck.check_pair(...).
    """

    def __init__(self, module: ModuleType):
        self.module = module

    def __call__(self, f: Callable, /, **arrays: Any) -> Any:
        return self.module.check(f, **arrays).raise_if_wrong()

    def __getattr__(self, name: str) -> Any:
        """The module's `name` or `check_name`; a check raises when it finds something wrong."""
        found = getattr(self.module, f"check_{name}", None) or getattr(self.module, name)
        if not getattr(found, "__name__", "").startswith("check"):
            return found

        @functools.wraps(found)
        def checked(*arguments: Any, **options: Any) -> Any:
            return found(*arguments, **options).raise_if_wrong()

        return checked


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Fail a test that passes although it made a wrong report, which nobody looked at."""
    _unread()
    result = yield
    wrong = _unread()
    if wrong:
        headlines = "\n\n".join(map(str, wrong))
        pytest.fail(f"{headlines}\n\nThe test did not look at this report.", pytrace=False)
    return result


def _unread() -> list:
    module = sys.modules.get("autocnn.gradcheck.unread")
    return module.take() if module else []


@pytest.fixture
def gradcheck() -> Checker:
    """Check backward passes: gradcheck(f, x=x), .pair, .vjp, .object, .tape, .kernel, also as
    .check, .check_pair ...; the report comes back, a wrong one raises.
    """
    from autocnn import gradcheck

    return Checker(gradcheck)
