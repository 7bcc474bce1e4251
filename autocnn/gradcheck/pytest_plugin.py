"""The `gradcheck` fixture: check a backward pass in a test, and fail with the checker's whole
report.

    def test_conv(gradcheck):
        # a function of (y, backward); raises AssertionError when it is wrong
        gradcheck(conv, x=x, w=w)
        gradcheck.pair(conv_forward, conv_backward, x=x, w=w)

It ships with the package: pytest finds it by its entry point, and nothing is imported before a test
asks for it.
"""

import pytest


class Checker:
    """The five ways of `autocnn.gradcheck`, each of which raises AssertionError unless the
    report is ok.
    """

    def __init__(self, module):
        self.module = module

    def __call__(self, f, /, **arrays):
        return self.module.check(f, **arrays).raise_if_wrong()

    def pair(self, forward, backward, /, **arrays):
        return self.module.check_pair(forward, backward, **arrays).raise_if_wrong()

    def vjp(self, fun, vjp, /, *args, **options):
        return self.module.check_vjp(fun, vjp, *args, **options).raise_if_wrong()

    def object(self, layer, x, /, **others):
        return self.module.check_object(layer, x, **others).raise_if_wrong()

    def kernel(self, target, reference=None, /, **arguments):
        return self.module.check_kernel(target, reference, **arguments).raise_if_wrong()


@pytest.fixture
def gradcheck():
    """Check backward passes: gradcheck(f, x=x), .pair, .vjp, .object, .kernel; the report comes
    back, a wrong one raises.
    """
    from autocnn import gradcheck

    return Checker(gradcheck)
