"""At least 40 wrong kernels and 60 right ones in float32, bfloat16 and float16: 95 % caught, 70 %
named, no right one called wrong.
"""

import pytest
import torch

catalogue = pytest.importorskip("catalogue")
from autocnn.gradcheck import check_kernel  # noqa: E402

RIGHT, WRONG = catalogue.right_cases(), catalogue.wrong_cases()


def run(case):
    torch.manual_seed(0)
    return check_kernel(
        case.target, case.reference, dtype=case.dtype, wrt=case.wrt, **case.arguments
    )


@pytest.mark.parametrize("case", RIGHT, ids=lambda c: c.name)
def test_right_kernels_are_never_called_wrong(case):
    report = run(case)
    assert report.ok, str(report)


def test_reduced_precision_is_a_limit_and_not_a_mistake():
    for case in RIGHT:
        if case.name in ("TF32 linear", "bf16 products", "truncating linear"):
            report = run(case)
            assert report.verdict == "pass with limits", case.name
            assert any(leaf.limits for leaf in report.leaves.values())


def test_wrong_kernels_are_caught_and_named():
    assert len(RIGHT) >= 60 and len(WRONG) >= 40
    caught, named, missed = 0, 0, []
    for case in WRONG:
        report = run(case)
        caught += report.verdict == "wrong"
        if any(c.code in case.codes for c in report.causes):
            named += 1
        else:
            missed.append((case.name, [c.code for c in report.causes]))
    assert caught >= 0.95 * len(WRONG), missed
    assert named >= 0.70 * len(WRONG), missed
