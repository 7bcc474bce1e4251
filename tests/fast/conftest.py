"""Threads for the tests of the fast interpretation: `make test` gives each worker one."""

import pytest

from autocnn import fast


@pytest.fixture
def two_threads():
    """Let kernels and BLAS have two threads."""
    before = fast.threads()
    fast.threads(2)
    yield
    fast.threads(before)
