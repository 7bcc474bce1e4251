"""The page in one file, in a real browser: what it shows are the numbers that Python computes."""

import numpy as np
import pytest

from autocnn import page as live_page
from autocnn.ops import softmax
from autocnn.page.bundle import STATIC, bundle, modules
from tests.page.browser import open_page

JAVASCRIPT = 300_000  # bytes of script that a page may have


@pytest.fixture
def page(browser, exported):
    with open_page(browser, exported[0].as_uri()) as opened:
        yield opened
        assert opened.complaints == []


def probabilities(page):
    return np.array(page.evaluate("() => [...window.autocnn.page.state.look.probabilities]"))


def test_a_stroke_changes_the_probabilities_to_those_that_python_computes(page, exported):
    tiny = exported[1][0]
    before = probabilities(page)
    page.get_by_role("button", name="Clear the drawing").click()
    box = page.locator("canvas.pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.5)
    page.mouse.up()
    page.wait_for_function("() => window.autocnn.page.state.pixels.some((p) => p > 0)")
    page.wait_for_timeout(50)
    pixels = np.array(page.evaluate("() => [...window.autocnn.page.state.pixels]"), float)
    logits, _ = tiny.model.apply(tiny.params, tiny.state, pixels.reshape(1, 1, 8, 8))
    np.testing.assert_allclose(probabilities(page), softmax(logits)[0], rtol=1e-9, atol=1e-12)
    assert np.abs(probabilities(page) - before).max() > 0.1


def test_the_script_is_small():
    assert len(bundle("static_page.js").encode()) < JAVASCRIPT
    assert modules("static_page.js")[-1] == "static_page.js"
    assert (STATIC / "index.html").exists()


def test_other_forms_of_import_are_refused(tmp_path):
    (tmp_path / "a.js").write_text('import * as b from "./b.js";\n')
    with pytest.raises(ValueError, match="cannot be joined"):
        bundle("a.js", tmp_path)
    (tmp_path / "b.js").write_text('import { c } from "./c.js";\n')
    (tmp_path / "c.js").write_text('import { b } from "./b.js";\n')
    with pytest.raises(ValueError, match=r"b\.js -> c\.js -> b\.js"):
        bundle("b.js", tmp_path)


def test_a_source_that_is_neither_a_run_nor_a_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match="neither"):
        live_page.export(tmp_path / "page.html", "resnet50")
