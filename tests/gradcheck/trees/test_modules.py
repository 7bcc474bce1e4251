"""Whole torch modules: the broken rule is named, or the part in which a gradient is cut."""

import importlib.util
import pathlib

import numpy as np
import pytest

from autocnn import gradcheck

torch = pytest.importorskip("torch")
spec = importlib.util.spec_from_file_location(
    "gradcheck_networks", pathlib.Path(__file__).with_name("networks.py")
)
networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(networks)

X = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def slow_but(first, names):
    return [
        pytest.param(n, marks=[] if n in first else [pytest.mark.slow], id=n.replace(" ", "-"))
        for n in names
    ]


def test_a_right_network_passes_and_its_rules_are_counted():
    report = gradcheck.check(networks.network(), x=X)
    assert report.ok, str(report)
    assert report.counts == "5 custom rules: 5 right" and report.counts in str(report)
    assert [r.calls for r in report.rules] == [2, 4, 2, 2, 2]
    assert {"0.attention", "1.attention"} == set(
        next(r for r in report.rules if r.name == "Product.backward").used_in
    )
    assert len(report.leaves) == 19 and "0.attention.q.weight" in report.leaves


@pytest.mark.parametrize("name", slow_but(["scale averages"], networks.WRONG_RULES))
def test_the_broken_rule_is_named(name):
    rule = networks.WRONG_RULES[name][0]
    report = gradcheck.check(networks.network(name), x=X, quick=True)
    assert not report.ok
    assert f"5 custom rules: 4 right, 1 wrong: {rule}.backward" in " ".join(str(report).split())
    assert all(c.leaf.startswith(f"{rule}.backward") for c in report.errors)


@pytest.mark.parametrize("name", slow_but(["detached"], networks.CUTS))
def test_a_cut_between_the_rules_is_named_by_part(name):
    report = gradcheck.check(networks.gated(networks.CUTS[name]), x=X[0, :, :3])
    assert not report.ok and "in 1.1 (Gate)" in str(report), str(report)


def test_a_right_gate_passes():
    report = gradcheck.check(networks.gated(networks.old_copy), x=X[0, :, :3])
    assert report.ok and not report.rules


def test_the_line_of_a_broken_rule_is_shown():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, dy):
            return 3 * dy

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.w(Double.apply(x))

    report = gradcheck.check(Net(), x=X.float())
    assert report.place is not None and "return 3 * dy" in str(report)
    assert report.fix is not None and "return 2 * dy" in str(report)
    text = report.to_json()
    assert '"rules"' in text and '"Double.backward"' in text


def test_rules_that_are_applied_under_another_name_are_found():
    double = networks.rule("Double", lambda x: 2 * x, lambda dy, x: dy)
    alias = double.apply  # bound before the check

    class Net(torch.nn.Module):
        def forward(self, x):
            return {"y": alias(x) ** 2, "more": [x.sum()]}

    report = gradcheck.check(Net(), x=X, quick=True)
    assert "1 custom rule: 0 right" not in str(report)
    assert [(r.name, r.verdict) for r in report.rules] == [("Double.backward", "wrong")]
    assert double.forward.__name__ == "forward" and "recorded" not in repr(double.forward)


def test_rules_inside_checkpoints_and_operators_of_the_library_are_found():
    half = networks.rule("Half", lambda x: x / 2, lambda dy, x: dy / 2)

    @torch.library.custom_op("autocnn_tests::squared", mutates_args=())
    def squared(x: torch.Tensor) -> torch.Tensor:
        return x * x

    squared.register_autograd(
        lambda ctx, dy: dy * ctx.saved_tensors[0],
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )

    class Net(torch.nn.Module):
        def forward(self, x):
            y = torch.utils.checkpoint.checkpoint(half.apply, x, use_reentrant=False)
            return squared(y)

    report = gradcheck.check(Net(), x=X, quick=True)
    verdicts = {r.name: r.verdict for r in report.rules}
    assert verdicts == {"Half.backward": "right", "autocnn_tests::squared.backward": "wrong"}


def test_random_modules_in_training_and_modules_in_float32_pass():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.5), torch.nn.Linear(6, 2)
    )
    mean = net[1].running_mean.clone()
    report = gradcheck.check(net, x=np.asarray(X[:, 0]).repeat(4, 0))
    assert report.ok, str(report)
    assert torch.equal(net[1].running_mean, mean) and net[0].weight.dtype == torch.float32
    assert next(net.parameters()).grad is None


def test_many_parameters_are_compared_together():
    torch.manual_seed(0)
    net = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(20)]).double()
    report = gradcheck.check(net, x=X[0, :, :2])
    assert report.ok and len(report.leaves) == 21
    assert "0 (2 parameters)" in report.leaves


def test_errors_of_modules_are_one_line():
    net = torch.nn.Linear(4, 2)
    cases = [
        ({"x": X}, "parameters are float32: pass x=x.to"),
        ({"x": X.float(), "z": X.float()}, r"takes \(input\), got x, z"),
        ({"x": X.float().to("meta")}, "devices differ"),
    ]
    for arrays, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            gradcheck.check(net, **arrays)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="order 1"):
        gradcheck.check(net, x=X, order=2)
    with pytest.raises(ValueError, match=r"check\(Linear, input=...\)"):
        gradcheck.check(net, X)


def test_the_headline_breaks_before_the_rules():
    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, dy):
            return dy * 0.5

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.last(Half.apply(self.first(x)))

    report = gradcheck.check(Net().double(), x=X)
    for width in (80, 100, 120):
        lines = [line.strip() for line in report.text(width=width).splitlines()]
        assert "1 custom rule: 1 wrong: Half.backward" in lines
