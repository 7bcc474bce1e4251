"""A real headless Chromium for the tests of the page; without one they are skipped."""

import functools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["browser", "exported", "open_page", "settle"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A running browser, of playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("the browser tests need chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@functools.cache
def _networks() -> tuple[Any, ...]:
    """TinyCNN as the chapter trains it, and a LeNet-5 with random weights and no training."""
    import numpy as np

    from autocnn import data, models
    from autocnn.page.trained import Trained, train_briefly

    generator = np.random.default_rng(5)
    x = (generator.integers(0, 256, (12, 1, 28, 28)) / 255).astype("float32")
    y = np.arange(12) % 10
    images = data.Dataset(x, y, x, y, tuple("0123456789"))
    model = models.lenet5()
    _, params, state = model.init(1, (1, 28, 28), "float32")
    params = [{k: v + (0.02 if k == "b" else 0) for k, v in layer.items()} for layer in params]
    lenet = Trained("lenet5", "LeNet-5", "Random weights.", model, params, state, images)
    return train_briefly("tiny-cnn"), lenet


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Any, ...]]:
    """The page in one file, and the networks that it carries: TinyCNN and LeNet-5."""
    from autocnn import page

    networks = _networks()
    return page.export(tmp_path_factory.mktemp("page") / "page.html", *networks), networks


@contextmanager
def open_page(browser: Any, address: str, width: int = 1440, height: int = 900, **options: Any):
    """Open an address in a window of its own; yields the page.

    page.complaints lists what its console said and the requests that left the file.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height}, reduced_motion="reduce", **options
    )
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:", "blob:"))
            or page.complaints.append(request.url)
        ),
    )
    page.goto(address)
    page.wait_for_function("() => window.autocnn?.page?.state.look")
    yield page
    context.close()


def settle(page: Any) -> None:
    """Wait until the page has answered every question and drawn every change."""
    page.evaluate("() => window.autocnn.page.settled()")
