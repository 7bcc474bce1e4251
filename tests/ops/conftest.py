"""The ops under test: those of autograd, and the fast ones with each set of kernels."""

import pytest

import autocnn as ac
from tests import fast_ops


@pytest.fixture(scope="module", params=["autograd", "fast-numpy", "fast-numba"])
def ops(request):
    """Return the module of ops: ``autocnn.ops``, or ``tests.fast_ops`` on NumPy's or Numba's
    kernels.
    """
    kind = request.param.removeprefix("fast-")
    if kind == "autograd":
        yield ac.ops
        return
    if kind == "numba":
        pytest.importorskip("numba")
    with ac.fast.using(kind):
        yield fast_ops
