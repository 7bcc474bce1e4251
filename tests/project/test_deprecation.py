"""Old names keep working, and the warning names the new one."""

import inspect
import math

import pytest

from autocnn.deprecation import renamed_arguments, renamed_names, renamed_property


def test_a_renamed_name_warns_and_is_the_new_one():
    lookup = renamed_names("autocnn.old", {"root": "math.sqrt", "numbers": "math"})
    with pytest.warns(
        DeprecationWarning, match=r"autocnn\.old\.root is .*: use math\.sqrt"
    ) as seen:
        assert lookup("root") is math.sqrt
    assert seen[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="use math"):
        assert lookup("numbers") is math
    with pytest.raises(AttributeError, match=r"'autocnn\.old' has no attribute 'cube'"):
        lookup("cube")


def test_a_renamed_argument_warns_and_reaches_the_new_one():
    @renamed_arguments(measured="metric_subset")
    def train(x, *, metric_subset=None):
        return x, metric_subset

    with pytest.warns(
        DeprecationWarning, match=r"train\(measured=\.\.\.\) .* metric_subset="
    ) as seen:
        assert train(1, measured=5) == (1, 5)
    assert seen[0].filename == __file__
    assert train(1, metric_subset=5) == (1, 5)
    assert list(inspect.signature(train).parameters) == ["x", "metric_subset"]
    with pytest.raises(TypeError, match="got both metric_subset= and measured="):
        train(1, measured=5, metric_subset=5)


def test_a_renamed_property_warns_and_reads_the_new_one():
    class Run:
        train_state = 7
        moment = renamed_property("moment", "train_state")

    with pytest.warns(DeprecationWarning, match=r"Run\.moment is .* use \.train_state") as seen:
        assert Run().moment == 7
    assert seen[0].filename == __file__
