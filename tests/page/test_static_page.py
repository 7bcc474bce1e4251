"""The page in one file, in a real browser: what it shows are the numbers that Python computes."""

from pathlib import Path

import numpy as np
import pytest

from autocnn import page as live_page
from autocnn.ops import softmax
from autocnn.page.bundle import STATIC, bundle, modules
from tests.page.browser import open_page, settle

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
    settle(page)
    pixels = np.array(page.evaluate("() => [...window.autocnn.page.state.pixels]"), float)
    logits, _ = tiny.model.apply(tiny.params, tiny.state, pixels.reshape(1, 1, 8, 8))
    np.testing.assert_allclose(probabilities(page), softmax(logits)[0], rtol=1e-9, atol=1e-12)
    assert np.abs(probabilities(page) - before).max() > 0.1


ACCENTED = """([selector]) => {
  const canvas = document.querySelector(selector);
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const found = [];
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 1] - data[i] > 50) // the accent is green; ink and paper are grey
      found.push([(i / 4) % width, Math.floor(i / 4 / width)]);
  const [x, y] = [0, 1].map((k) => found.map((pixel) => pixel[k]));
  return found.length && [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y), width];
}"""


def canvas(page, stage, weight=""):
    return page.locator(f'canvas[data-stage="{stage}"][data-weight="{weight}"]')


def cell_position(page, stage, cell):
    """The middle of a cell on its canvas."""
    return page.evaluate(
        """([stage, cell]) => {
          const { page } = window.autocnn;
          const { square } = page.drawn(stage);
          const { x, y, size } = square(cell);
          return { x: 2 + x + size / 2, y: 2 + y + size / 2 };
        }""",
        [stage, cell],
    )


def test_pointing_at_a_cell_frames_its_receptive_field(page):
    selector = 'canvas[data-stage="input"]'
    canvas(page, "conv").hover(position=cell_position(page, "conv", 36 + 2 * 6 + 3))
    page.wait_for_function("() => window.autocnn.page.state.subject?.cell === 51")
    settle(page)
    left, top, right, bottom, width = page.evaluate(ACCENTED, [selector])
    cell = (width - 4) / 8  # the canvas has a margin of 2 pixels
    # Rows 2 to 4 and columns 3 to 5, by a 3x3 kernel at row 2, column 3.
    np.testing.assert_allclose([left, right], [2 + 3 * cell, 2 + 6 * cell], atol=3)
    np.testing.assert_allclose([top, bottom], [2 + 2 * cell, 2 + 5 * cell], atol=3)


def shown_value(page):
    text = page.locator(".inspector output").inner_text().removeprefix("= ")
    mantissa, _, exponent = text.replace("\u2212", "-").partition("\u00b710")
    superscripts = str.maketrans(
        "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-0123456789"
    )
    return float(mantissa) * 10.0 ** int(exponent.translate(superscripts) or 0)


def test_backward_shows_the_gradients_of_loss_and_grad(page, exported):
    tiny = exported[1][0]
    page.get_by_role("button", name="Backward").click()
    page.locator(".class", has_text="horizontal").click()
    page.wait_for_function("() => window.autocnn.page.state.look.stages[0].auto")
    state = page.evaluate(
        """() => {
          const { pixels, label, look } = window.autocnn.page.state;
          const w = look.stages[1].weights.w.auto;
          return { pixels: [...pixels], label, loss: look.loss, w: [...w] };
        }"""
    )
    x = np.array(state["pixels"], float).reshape(1, 1, 8, 8)
    batch = (x, np.array([state["label"]]))
    assert state["label"] == 1
    loss, grads, _ = tiny.model.loss_and_grad(tiny.params, tiny.state, batch)
    assert state["loss"] == pytest.approx(loss, rel=1e-9)
    np.testing.assert_allclose(state["w"], grads[0]["w"].ravel(), rtol=1e-7, atol=1e-12)
    for cell in (0, 13, 26):
        canvas(page, "conv", "w").click(position=kernel_position(page, cell))
        settle(page)
        expected = grads[0]["w"].flat[cell]
        assert shown_value(page) == pytest.approx(expected, rel=1e-4)
        # The parts of the sum are on the page as well, and add up to it.
        assert "central difference" in page.locator(".paths").inner_text()


def kernel_position(page, cell):
    return page.evaluate(
        """([cell]) => {
          const { square } = window.autocnn.page.drawn("conv", "w");
          const { x, y, size } = square(cell);
          return { x: 2 + x + size / 2, y: 2 + y + size / 2 };
        }""",
        [cell],
    )


@pytest.mark.parametrize("network", ["TinyCNN", "LeNet-5"])
def test_every_zero_gradient_says_why(page, network):
    page.get_by_role("button", name=network, exact=True).click()
    page.get_by_role("button", name="Backward").click()
    settle(page)
    silent = page.evaluate(
        """() => {
          const { page, explain } = window.autocnn;
          const { look, info, label } = page.state;
          const view = { look, info, label, mode: "backward" };
          const silent = [];
          const ask = (array, k, weight) => {
            for (let cell = 0; cell < array.auto.length; cell += Math.ceil(array.auto.length / 300))
              if (array.auto[cell] === 0 && !explain(view, { k, cell, weight }).why.length)
                silent.push([k, cell, weight]);
          };
          look.stages.forEach((stage, k) => {
            ask(stage, k, null);
            for (const [name, array] of Object.entries(stage.weights)) ask(array, k, name);
          });
          return silent;
        }"""
    )
    assert silent == []


@pytest.mark.parametrize("mode", ["forward", "backward"])
@pytest.mark.parametrize("network", ["TinyCNN", "LeNet-5"])
def test_the_parts_that_are_shown_add_up_to_the_number(page, network, mode):
    page.get_by_role("button", name=network, exact=True).click()
    page.get_by_role("button", name=mode.capitalize()).click()
    settle(page)
    wrong = page.evaluate(
        """([mode]) => {
          const { page, explain } = window.autocnn;
          const { look, info, label } = page.state;
          const view = { look, info, label, mode };
          const wrong = [];
          const ask = (array, k, weight) => {
            const step = Math.ceil(array.values.length / 40);
            for (let cell = 0; cell < array.values.length; cell += step) {
              const found = explain(view, { k, cell, weight });
              if (!found.total) continue;
              const parts = [...found.groups.map((g) => g.sum), ...found.terms.map((t) => t.value)];
              const sum = parts.reduce((a, b) => a + b, 0);
              if (!(Math.abs(sum - found.value) <= 1e-9 * Math.max(1, Math.abs(found.value))))
                wrong.push([found.title, sum, found.value]);
            }
          };
          look.stages.forEach((stage, k) => {
            ask(stage, k, null);
            for (const [name, array] of Object.entries(stage.weights)) ask(array, k, name);
          });
          return wrong;
        }""",
        [mode],
    )
    assert wrong == []


def test_the_keyboard_alone_suffices(page):
    def tab_to(condition):
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate(f"() => {{ const e = document.activeElement; return {condition}; }}"):
                return
        raise AssertionError(f"Tab does not reach {condition}")

    before = probabilities(page)
    tab_to('e.matches("canvas.pad")')
    page.keyboard.press("Space")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    settle(page)
    assert page.evaluate("() => window.autocnn.page.state.pixels[4 * 8 + 7]") == 1
    assert np.abs(probabilities(page) - before).max() > 0
    tab_to('e.textContent === "Backward"')
    page.keyboard.press("Enter")
    assert page.evaluate("() => window.autocnn.page.state.mode") == "backward"
    tab_to('e.matches("canvas[data-stage]")')
    page.keyboard.press("]")
    page.keyboard.press("]")
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    pinned = page.evaluate("() => window.autocnn.page.state.pinned")
    assert pinned == {"k": 1, "cell": 36 + 7, "weight": None}
    heard = "gradient in conv, map 1, row 1, column 1: "
    page.wait_for_function(
        "([text]) => document.querySelector('[aria-live]').textContent.startsWith(text)",
        arg=[heard],
    )
    page.keyboard.press("Escape")
    assert page.evaluate("() => window.autocnn.page.state.pinned") is None


@pytest.mark.parametrize("width", [360, 768, 1440, pytest.param(3840, marks=pytest.mark.slow)])
def test_nothing_is_wider_than_the_window(browser, exported, width):
    with open_page(browser, exported[0].as_uri(), width) as page:
        for network in ("TinyCNN", "LeNet-5"):
            page.get_by_role("button", name=network, exact=True).click()
            page.get_by_role("button", name="Backward").click()
            page.locator('canvas[data-word="conv"], canvas[data-stage^="conv"]').last.click()
            settle(page)
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
            right = """() => Math.max(...[...document.querySelectorAll(".autocnn button, canvas")]
              .filter((e) => !e.closest(".images")) // these scroll in a strip of their own
              .map((e) => e.getBoundingClientRect().right))"""
            assert page.evaluate(right) <= width
        assert page.complaints == []


CONTRAST = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (s) => (s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4);
  const channel = (c) => linear(c / 255);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = numbers(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const e of document.querySelectorAll(".autocnn *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.closest(".only-heard, svg")) continue;
    const style = getComputedStyle(e);
    if (style.visibility === "hidden") continue;
    const [a, b] = [light(numbers(style.color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push([e.textContent, style.color, String(behind(e))]);
  }
  return low;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_a_contrast_of_4_5(browser, exported, theme):
    with open_page(browser, exported[0].as_uri(), color_scheme=theme) as page:
        for mode in ("Forward", "Backward"):
            page.get_by_role("button", name=mode).click()
            canvas(page, "conv").click(position=cell_position(page, "conv", 51))
            settle(page)
            assert page.evaluate(CONTRAST) == []


def test_a_link_shows_the_same(browser, exported):
    address = exported[0].as_uri()
    with open_page(browser, address) as page:
        page.get_by_role("button", name="Add noise").click()
        page.get_by_role("button", name="Backward").click()
        canvas(page, "max_pool").click(position=cell_position(page, "max_pool", 4))
        page.wait_for_function("() => location.hash.includes('at=')")
        link, expected = page.url, probabilities(page)
    with open_page(browser, link) as page:
        page.wait_for_function("() => window.autocnn.page.state.pinned")
        np.testing.assert_array_equal(probabilities(page), expected)
        state = page.evaluate("() => window.autocnn.page.state")
        assert state["mode"] == "backward"
        assert state["pinned"] == {"k": 3, "cell": 4, "weight": None}
    for cut in ("#network=nothing&pixels=%%%&at=99.99", "#image=99999&label=77&mode=sideways"):
        with open_page(browser, address + cut) as page:
            assert page.complaints == []


def test_the_network_is_saved_as_svg_and_png(page):
    for name, begins in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(begins)
        assert len(content) > 5000


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
