"""The widget of a notebook, with the channel of a kernel in place of a browser's."""

import threading

import numpy as np
import pytest

import autocnn as ac
from autocnn.page import wire

pytest.importorskip("anywidget")


@pytest.fixture
def talk(monkeypatch, patterns):
    """A widget on a run, and a function that sends it bytes and returns its next message."""
    _, params, _ = ac.models.tiny_cnn().init(3, (1, 8, 8))
    run = ac.train(params, patterns, epochs=1)
    made = ac.page(run, patterns)
    arrived, messages = threading.Condition(), []

    def send(content, buffers):
        with arrived:
            messages.append(buffers[0])
            arrived.notify_all()

    monkeypatch.setattr(made, "send", send)

    def raw(data):
        with arrived:
            seen = len(messages)
        made._handle_custom_msg({}, [memoryview(data)] if data is not None else [])
        with arrived:
            assert arrived.wait_for(lambda: len(messages) > seen, 120)
            return messages[seen]

    yield made, run, raw
    made.session.close()


def test_a_notebook_asks_and_is_answered(talk, patterns):
    _, run, ask = talk
    image = patterns.x_val[0].astype(np.float32)
    found = wire.decode(ask(wire.encode({"id": 5, "ask": "look", "pixels": image, "label": 1})))
    assert found["id"] == 5
    x = image[None].astype(float)
    loss, _ = ac.evaluate(ac.models.tiny_cnn(), run.params, run.state, x, np.array([1]))
    assert found["answer"]["loss"] == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("data", [b"nothing", None])
def test_what_is_no_message_is_one_line(talk, data):
    _, _, ask = talk
    assert wire.decode(ask(data))["event"] == "message"


def test_the_front_end_is_one_module_with_its_styles(talk):
    made, *_ = talk
    assert made._esm.rstrip().endswith(
        'export default { render: modules["widget_page.js"].render };'
    )
    assert "import " not in made._esm.split("export default")[0].replace("// import", "")[:40]
    assert ".autocnn" in made._css and ".panel" in made._css


def test_it_can_be_called_as_a_module_and_is_listed():
    assert "page" in dir(ac) and callable(ac.page)
    with pytest.raises(ValueError, match=r"ac\.page\(run, data\)"):
        ac.page(ac.training.Run({}, [], {}, {}, {}, None))


@pytest.mark.slow
def test_it_is_drawn_in_a_browser(browser, talk):
    """The module runs as in a notebook, with a model whose messages go through this process."""
    made, _, ask = talk
    page = browser.new_page()
    page.set_default_timeout(60_000)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.expose_function("ask", lambda data: list(ask(bytes(data))))
    page.route("http://notebook/**", lambda route: route.fulfill(
        body=made._esm if route.request.url.endswith(".js") else "<!doctype html><body></body>",
        content_type="text/javascript" if route.request.url.endswith(".js") else "text/html",
    ))  # fmt: skip
    page.goto("http://notebook/")
    page.evaluate(
        """async () => {
          const { default: widget } = await import("http://notebook/widget.js");
          let receive = null;
          const model = {
            on: (name, f) => (receive = f),
            send: async (content, callbacks, [buffer]) => {
              const bytes = Uint8Array.from(await window.ask([...new Uint8Array(buffer)]));
              receive({}, [new DataView(bytes.buffer)]);
            },
          };
          widget.render({ model, el: document.body });
        }"""
    )
    page.locator(".class").first.wait_for()
    page.get_by_role("region", name="Train", exact=True).wait_for()
    assert complaints == []
    page.close()
