"""The page of a server in a real browser: trains, breaks, checks and edits; its numbers are those
of the package.
"""

import json

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

import autocnn as ac
import reference
from autocnn.page import server

LIMIT = 120_000  # milliseconds for what takes moments


@pytest.fixture(scope="module")
def site(shown):
    """A server in another thread, whose TinyCNN was trained for two epochs."""
    with server.running(shown._replace(epochs=2)) as running:
        yield running


@pytest.fixture
def page(browser, site):
    """The page in a window of its own; the test fails on any complaint of the console."""
    with opened(browser, site.address) as found:
        yield found
        assert found.complaints == []


class opened:
    """A page in a window of its own, which has drawn its first look."""

    def __init__(self, browser, address):
        self.context = browser.new_context(viewport={"width": 1440, "height": 900})
        self.address = address

    def __enter__(self):
        page = self.context.new_page()
        page.set_default_timeout(LIMIT)
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(self.address)
        page.wait_for_function("() => window.autocnn?.page?.state.look")
        return page

    def __exit__(self, *exception):
        self.context.close()


def panel(page, title):
    return page.get_by_role("region", name=title, exact=True)


def choose(page, title, layer, what):
    """Choose a layer, and a mistake or a start, in a panel."""
    selects = panel(page, title).get_by_role("combobox")
    selects.nth(0).select_option(layer)
    selects.nth(1).locator(f"option[value='{what}']").wait_for(state="attached")
    selects.nth(1).select_option(what)


def until(page, expression):
    page.wait_for_function(f"() => {expression}")


def look(page):
    """The numbers that the page shows, by stage."""
    text = page.evaluate(
        """() => {
          const list = (a) => (a === null || a === undefined ? null : Array.from(a));
          const { look, pixels, label } = window.autocnn.page.state;
          return JSON.stringify({ pixels: list(pixels), label, loss: look.loss, stages:
            look.stages.map(({ name, shape, values, auto, manual, digits, weights }) => ({
              name, shape, values: list(values), auto: list(auto), manual: list(manual), digits,
              weights: Object.fromEntries(Object.entries(weights).map(([key, w]) =>
                [key, { shape: w.shape, auto: list(w.auto), manual: list(w.manual) }])) })) });
        }"""
    )
    found = json.loads(text)
    return found | {"stages": {stage["name"]: stage for stage in found["stages"]}}


def test_its_numbers_are_those_of_trace_and_loss_and_grad(page, site):
    page.evaluate("() => window.autocnn.page.setMode('backward')")
    page.evaluate("() => window.autocnn.page.setLabel(2)")
    until(page, "window.autocnn.page.state.label === 2")
    page.evaluate("() => window.autocnn.look(window.autocnn.page.state.pixels, 2)")
    until(page, "window.autocnn.page.state.look.stages.at(-1).auto[2] < 0")
    found = look(page)
    now = site.windows.trainer.now
    x = np.reshape(found["pixels"], (1, 1, 8, 8)).astype(np.float64)
    traced = ac.trace(ac.models.tiny_cnn(), now.params, now.state, x)
    for name in ("input", "conv", "relu", "max_pool", "flatten", "dense"):
        values = np.reshape(found["stages"][name]["values"], traced[name][0].shape)
        np.testing.assert_allclose(values, traced[name][0], rtol=1e-5, atol=1e-6)
    for nn, path in ((ac.layers, "auto"), (reference, "manual")):
        model = ac.models.tiny_cnn(nn=nn)
        loss, grads, _ = model.loss_and_grad(now.params, now.state, (x, np.array([2])))
        assert found["loss"] == pytest.approx(float(loss), rel=1e-6)
        for name, layer in (("conv", 0), ("dense", 4)):
            for key, gradient in grads[layer].items():
                shown = np.reshape(found["stages"][name]["weights"][key][path], gradient.shape)
                np.testing.assert_allclose(shown, gradient, rtol=1e-5, atol=1e-6)


def test_it_trains_pauses_and_looks_back(page):
    train = panel(page, "Train")
    where = train.locator(".where")
    assert "step 20" in where.inner_text() and "epoch 2" in where.inner_text()
    before = look(page)["loss"]
    train.get_by_role("button", name="One step").click()
    until(page, "document.querySelector('.where').textContent.startsWith('step 21 ')")
    train.get_by_role("button", name="One epoch").click()
    until(page, "document.querySelector('.where').textContent.startsWith('step 30 ')")
    assert train.locator(".chart").first.get_attribute("aria-label").startswith("Loss: ")
    assert train.locator(".kernels canvas").count() == 3
    assert float(train.locator("[data-norm=dense]").get_attribute("data-value")) > 0
    train.get_by_role("button", name="Play").click()
    until(page, "Number(document.querySelector('.where').textContent.split(' ')[1]) > 60")
    train.get_by_role("button", name="Pause").click()
    train.get_by_role("button", name="Play").wait_for()
    train.get_by_role("slider").fill("2")  # where the window began
    until(page, "document.querySelector('.where').textContent.startsWith('step 20 ')")
    until(page, f"Math.abs(window.autocnn.page.state.look.loss - {before}) < 1e-6")
    train.get_by_role("button", name="Present").click()
    until(page, f"Math.abs(window.autocnn.page.state.look.loss - {before}) > 1e-6")
    train.get_by_role("button", name="Back to the start").click()
    until(page, "document.querySelector('.where').textContent.startsWith('step 0 ')")


@pytest.mark.slow
def test_settings_are_taken_and_refused_in_one_line(page):
    train = panel(page, "Train")
    train.get_by_label("Rate").fill("0.01")
    train.get_by_label("Rate").press("Enter")
    train.get_by_label("Optimizer").select_option("adam")
    train.get_by_role("button", name="One step").click()
    until(page, "document.querySelector('.where').textContent.startsWith('step 21 ')")
    assert train.get_by_label("Rate").input_value() == "0.01"
    train.get_by_label("Batch").fill("-3")
    train.get_by_label("Batch").press("Enter")
    page.locator(".message", has_text="whole number from 1 to 10,000, got -3").wait_for()


@pytest.mark.slow
def test_it_breaks_turns_and_is_checked(page):
    broken = panel(page, "Break it")
    page.evaluate("() => window.autocnn.page.setMode('backward')")
    choose(page, "Break it", "relu", "mask reversed")
    until(page, "document.querySelector('.status').dataset.apart?.includes('conv.w')")
    stages = look(page)["stages"]
    assert stages["conv"]["digits"] < 2 and stages["relu"]["digits"] > 13
    assert "relu is broken: mask reversed" in broken.locator(".status").inner_text()
    broken.get_by_role("button", name="Check").click()
    broken.locator(".verdict.wrong").wait_for()
    marked = broken.locator(".listing .wrong")
    assert marked.count() == 1 and marked.inner_text().strip() == "dx = dy * (x < 0)"
    assert broken.locator(".edit .after").inner_text() == "+ dx = dy * (x > 0)"
    broken.get_by_text("The whole report").click()
    assert "WRONG" in broken.locator(".whole").inner_text()
    broken.get_by_role("button", name="Mend").click()
    until(page, "document.querySelector('.status').dataset.apart === ''")
    assert "Nothing is broken" in broken.locator(".status").inner_text()


@pytest.mark.slow
def test_a_broken_path_trains_otherwise(page):
    train, where = panel(page, "Train"), "document.querySelector('.where').textContent"
    choose(page, "Break it", "loss", "sign")
    until(page, "document.querySelector('.status').textContent.includes('loss is broken')")
    train.get_by_role("button", name="One epoch").click()
    until(page, f"{where}.startsWith('step 30 ')")
    history = page.evaluate(
        "async () => (await window.autocnn.engine.ask('info')).training.history"
    )
    losses = [moment["losses"][0] for moment in history if moment["losses"]]
    assert losses[2] < losses[1] < losses[0] and losses[3] > losses[2]


@pytest.mark.slow
def test_a_person_writes_a_backward_pass_and_mends_it(page):
    editor = panel(page, "Write your own")
    choose(page, "Write your own", "dense", "sign of dx")
    area = editor.get_by_role("textbox")
    until(page, "document.querySelector('textarea').value.includes('-dy @ w.T')")
    area.press("Control+Enter")
    editor.locator(".verdict.wrong").wait_for()
    lines = area.input_value().split("\n")
    line = int(editor.locator(".stripe").get_attribute("data-line"))
    assert lines[line - 1].strip() == "dx = -dy @ w.T"
    editor.get_by_role("button", name="Apply this edit").click()
    editor.locator(".verdict.right").wait_for()
    assert "        dx = dy @ w.T" in area.input_value().split("\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text, line",
    [
        ("x = (", "line 1: '(' was never closed"),
        ("import sys\nsys.exit()", "called sys.exit"),
    ],
)
def test_what_the_editor_cannot_check_is_one_line(page, text, line):
    editor = panel(page, "Write your own")
    until(page, "document.querySelector('textarea').value.includes('def conv')")
    editor.get_by_role("textbox").fill(text)
    editor.get_by_role("button", name="Check").click()
    editor.locator(".verdict", has_text=line).wait_for()


@pytest.mark.slow
def test_an_image_file_is_fitted_and_a_bad_one_refused(page, tmp_path):
    from PIL import Image

    image = np.zeros((40, 40), np.uint8)
    image[:, 15:25] = 255
    Image.fromarray(image).save(tmp_path / "line.png")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    field = page.locator("input[type=file]")
    field.set_input_files(tmp_path / "line.png")
    page.locator(".message", has_text="line.png: 40x40 to 8x8 pixels").wait_for()
    read = ac.images.fit(ac.images.read(tmp_path / "line.png"), (1, 8, 8), None, True)[0]
    np.testing.assert_allclose(look(page)["pixels"], read.ravel(), atol=1e-7)
    field.set_input_files(tmp_path / "bad.png")
    page.locator(".message", has_text="bad.png is not an image that Pillow can read").wait_for()


@pytest.mark.slow
def test_two_windows_have_states_of_their_own(browser, site, page):
    with opened(browser, site.address) as other:
        panel(other, "Train").get_by_role("button", name="One epoch").click()
        until(other, "document.querySelector('.where').textContent.startsWith('step 30 ')")
        assert "step 20" in panel(page, "Train").locator(".where").inner_text()
        assert other.complaints == []


@pytest.mark.slow
def test_a_server_that_dies_is_said_and_found_again(browser, shown):
    shown = shown._replace(epochs=0)
    with server.running(shown) as site:
        port, token = site.guard.port, site.guard.token
        context = opened(browser, site.address)
        page = context.__enter__()
    try:
        page.locator(".message", has_text="does not answer").wait_for()
        with server.running(shown, port=port, token=token):
            until(page, "document.querySelector('.message').hidden")
            panel(page, "Train").get_by_role("button", name="One step").click()
            until(page, "document.querySelector('.where').textContent.startsWith('step 1 ')")
    finally:
        context.__exit__()


@pytest.mark.slow
def test_a_refused_window_is_told_why(browser, site):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(LIMIT)
    answer = page.goto(site.address.replace("token=", "token=x"))
    assert answer.status == 403 and "token in the address" in page.inner_text("body")
    context.close()


@pytest.mark.slow
def test_a_window_of_an_earlier_server_is_told_where_to_go(browser, shown):
    shown = shown._replace(epochs=0)
    with server.running(shown) as site:
        port = site.guard.port
        context = opened(browser, site.address)
        page = context.__enter__()
    try:
        page.locator(".message", has_text="does not answer").wait_for()
        with server.running(shown, port=port, token="another"):
            page.locator(".message", has_text="the server was started anew: open").wait_for()
    finally:
        context.__exit__()


@pytest.mark.slow
def test_a_link_holds_no_token(page, site):
    page.get_by_role("button", name="Link", exact=True).click()
    message = page.locator(".message", has_text="It has no token")
    message.wait_for()
    given = page.evaluate("""async () => (await import("./link.js")).shared(location.href)""")
    assert site.guard.token not in given and given.startswith(site.address.split("?")[0])
    assert "#network=tiny-cnn" in given
    assert site.guard.token not in message.inner_text()
    assert site.guard.token in page.url  # which a reload needs


@pytest.mark.slow
def test_few_digits_are_said_and_coloured(page):
    page.get_by_role("button", name="Backward", exact=True).click()
    digits = page.locator('[data-stage="conv"] .digits')
    until(page, """document.querySelector('[data-stage="conv"] .digits').textContent""")
    assert "only" not in digits.inner_text() and "few" not in digits.get_attribute("class").split()
    choose(page, "Break it", "relu", "no mask")
    page.locator('[data-stage="conv"] .digits', has_text="only").wait_for()
    assert "few" in digits.get_attribute("class").split()
    whole = page.locator('[data-stage="relu"] .digits')
    colour = "e => getComputedStyle(e).color"
    assert digits.evaluate(colour) != whole.evaluate(colour)
