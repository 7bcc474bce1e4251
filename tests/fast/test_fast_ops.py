"""The fast ops pass the tests of the plain ones, with both sets of kernels: the same functions,
another module under test.
"""

import pytest
import test_ops
import test_ops_torch
from test_ops import *  # noqa: F403
from test_ops_torch import *  # noqa: F403

from autocnn import fast


@pytest.fixture(scope="module", autouse=True, params=["numpy", "numba"])
def fast_ops_instead(request):
    if request.param == "numba":
        pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch, fast.using(request.param):
        patch.setattr(test_ops, "ops", fast.ops)
        if hasattr(test_ops_torch, "ops"):
            patch.setattr(test_ops_torch, "ops", fast.ops)
        yield
