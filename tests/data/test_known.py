"""A published data set is known by its content, wherever its files are."""

import numpy as np
import pytest

from autocnn.cli import settings
from autocnn.data import Dataset, known
from autocnn.data.known import KNOWN, known_name
from autocnn.runs import recipes


@pytest.fixture
def published(monkeypatch):
    """Images that stand for MNIST's: the first hundred are registered as those of "mnist"."""
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (150, 1, 28, 28), dtype=np.uint8)
    y = np.arange(150) % 10
    digest = known.hashlib.sha256(x[:100].tobytes() + y[:100].astype(np.uint8).tobytes())
    mnist = KNOWN["mnist"]._replace(first=digest.hexdigest())
    monkeypatch.setitem(known.KNOWN, "mnist", mnist)
    scaled = (x / 255).astype("f")
    return Dataset(scaled, y, scaled[:50], y[:50], tuple("0123456789"))


def test_a_set_is_known_whole_or_in_part_and_in_both_dtypes(published):
    part = published._replace(x_train=published.x_train[:100], y_train=published.y_train[:100])
    double = published._replace(x_train=np.round(published.x_train * 255.0) / 255)
    assert [known_name(data) for data in (published, part, double)] == ["mnist"] * 3


@pytest.mark.parametrize("what", ["image", "label", "few", "size"])
def test_other_data_are_not_taken_for_it(what, published):
    x, y = published.x_train.copy(), published.y_train.copy()
    if what == "image":
        x[99, 0, 5, 5] = 1 - x[99, 0, 5, 5]
    elif what == "label":
        y[0] = 9
    elif what == "few":
        x, y = x[:99], y[:99]
    else:
        x = x[..., :27]
    assert known_name(published._replace(x_train=x, y_train=y)) is None


def test_its_recipe_and_the_framing_of_its_images_follow(published, monkeypatch):
    from autocnn import runs
    from autocnn.runs import image_files

    monkeypatch.setattr(runs, "load_data", lambda *args: published)
    config, _ = settings.new_config("lenet5", {"data": "some/folder"})
    assert config.known_as == "mnist" and config.recipe == recipes.recipe("lenet5", "mnist")
    assert runs.RunConfig.from_json(config.to_json()) == config
    assert image_files.framing(config)["ink_fraction"] == 20 / 28
    assert " --rate" not in settings.command(config)  # as in the recipe, which is not repeated
    other = published._replace(y_train=9 - published.y_train)
    monkeypatch.setattr(runs, "load_data", lambda *args: other)
    config, _ = settings.new_config("lenet5", {"data": "some/folder"})
    assert config.known_as is None and config.recipe == recipes.Recipe()
    assert image_files.framing(config)["ink_fraction"] is None
