"""The fast interpretation is tested on two threads, which Makefile does not leave to the others."""

import pytest

from autocnn import fast


@pytest.fixture(autouse=True)
def _two_threads():
    before = fast.threads()
    fast.threads(2)
    yield
    fast.threads(before)
