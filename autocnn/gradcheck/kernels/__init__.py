"""``check_kernel``: kernels in float32, bfloat16 and float16, judged by their own rounding."""

from autocnn.gradcheck.kernels.check import check_kernel
from autocnn.gradcheck.kernels.report import KernelLeaf, KernelReport

__all__ = ["KernelLeaf", "KernelReport", "check_kernel"]
