"""Who is let in, what is refused, and that the server lives: attacks, each answered in one line."""

import contextlib
import http.client
import itertools
import socket as sockets
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")

from websockets.exceptions import ConnectionClosedError  # noqa: E402

from autocnn.page import guard, server, wire  # noqa: E402

numbers = itertools.count()


def serve(shown):
    return server.running(shown._replace(epochs=2))


@pytest.fixture(scope="module")
def site(shown):
    """A server in another thread."""
    with serve(shown) as running:
        yield running


def get(site, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", site.guard.port, timeout=60)
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return SimpleNamespace(status_code=answer.status, text=text, headers=answer.headers)


def connect(site, name=None, token=None, origin="", host="", **headers):
    """Open a websocket. origin: None for a browser that sends none."""
    name = f"window-{next(numbers)}" if name is None else name
    own = f"127.0.0.1:{site.guard.port}"
    query = f"token={site.guard.token if token is None else token}&window={name}"
    return client.connect(
        f"ws://{host or own}/socket?{query}",
        sock=sockets.create_connection(("127.0.0.1", site.guard.port)),
        origin=f"http://{own}" if origin == "" else origin,
        additional_headers={k.replace("_", "-"): v for k, v in headers.items()},
        open_timeout=60,
        max_size=None,
    )


def ask(socket, ask, **fields):
    socket.send(wire.encode({"id": 1, "ask": ask, **fields}))
    while True:
        message = wire.decode(socket.recv(60))
        if message.get("id") == 1:
            return message.get("answer", message.get("error"))


def refusal(connection):
    with connection as socket:
        message = wire.decode(socket.recv(60))
        with pytest.raises(ConnectionClosedError):
            socket.recv(60)
        assert socket.close_code == 4403
    assert message["event"] == "refused" and "\n" not in message["text"]
    return message["text"]


def test_the_page_needs_the_token(site):
    answer = get(site, f"/?token={site.guard.token}")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    for path in ("/", "/?token=", f"/?token={site.guard.token}x", "/?token=%00%ff"):
        refused = get(site, path)
        assert refused.status_code == 403 and "token" in refused.text and "\n" not in refused.text


def test_answers_cannot_be_framed_cached_or_read_by_others(site):
    for path in (f"/?token={site.guard.token}", "/", "/remote.js", "/nothing"):
        headers = get(site, path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1:1", "127.0.0.1.evil.example"]
)
def test_other_hosts_are_refused(site, host):
    for path in (f"/?token={site.guard.token}", "/remote.js"):
        assert get(site, path, Host=host).status_code == 403
    assert f"answers as 127.0.0.1:{site.guard.port} only" in refusal(connect(site, host=host))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"]
)
def test_other_origins_are_refused(site, origin):
    got = get(site, f"/?token={site.guard.token}", Origin=origin)
    assert got.status_code == 403
    assert "another origin" in refusal(connect(site, origin=origin))


def test_a_websocket_without_an_origin_is_refused(site):
    assert "another origin" in refusal(connect(site, origin=None))


@pytest.mark.parametrize("token", ["", "x", "%00"])
def test_a_websocket_without_the_token_is_refused(site, token):
    assert "the token in the address is missing or wrong" in refusal(connect(site, token=token))


@pytest.mark.parametrize("name", ["%20", "short", "a/../../b-long-name", "x" * 65])
def test_a_window_needs_a_name(site, name):
    assert "no name" in refusal(connect(site, name))


@pytest.mark.parametrize(
    "path",
    ["/../server.py", "/%2e%2e%2fserver.py", "/..%5cserver.py", "/static/x", "/index", "/.js"],
)
def test_only_the_pages_own_files_are_served(site, path):
    assert get(site, path).status_code in (403, 404)


def test_two_windows_have_states_of_their_own(site, shown):
    image = {"pixels": shown.data.x_val[0].astype(np.float32), "label": 0}
    with connect(site) as one, connect(site) as two:
        before = ask(two, "look", **image)
        ask(one, "break", layer="conv", mistake="kernel flipped")
        ask(one, "epoch")
        assert ask(two, "look", **image)["loss"] == before["loss"]
        assert ask(one, "look", **image)["loss"] != before["loss"]


def test_a_window_that_comes_back_finds_its_state(site):
    with connect(site, "window-that-returns") as socket:
        ask(socket, "step")
        ask(socket, "play")
    with connect(site, "window-that-returns") as socket:
        training = ask(socket, "info")["training"]
    assert not training["playing"] and training["history"][-1]["step"] > 20


def test_the_same_window_cannot_be_open_twice(site):
    with connect(site, "window-twice") as socket:
        assert "connected already" in refusal(connect(site, "window-twice"))
        assert ask(socket, "settings")


def test_two_hundred_windows(shown):
    with serve(shown) as site, contextlib.ExitStack() as stack:
        first = [stack.enter_context(connect(site)) for _ in range(server.MAX_WINDOWS)]
        refused = [refusal(connect(site)) for _ in range(200)]
        assert all("windows are open, as many as this server has" in line for line in refused)
        assert all(ask(socket, "settings") for socket in first)
        for socket in first:
            socket.close()
        for _ in range(20):
            with connect(site) as socket:
                assert ask(socket, "settings")
        assert len(site.windows._found) <= server.MAX_WINDOWS


NO_MESSAGES = [
    b"",
    b"\n",
    b"\xff\xfe\n",
    b"[]\n",
    b"3\n",
    b"{" * 100_000 + b"\n",
    b'{"a": {"$": 0, "shape": [4], "type": "float32"}}\n\0\0\0\0',
    b'{"a": {"$": -4, "shape": [0], "type": "float32"}}\n',
    b'{"a": {"$": 0, "shape": [1000000000, 1000000000, 1000000000], "type": "float32"}}\n',
    b'{"a": {"$": 0, "shape": [-1], "type": "float32"}}\n',
    b'{"a": {"$": 0, "shape": 4, "type": "float32"}}\n',
    b'{"a": {"$": "0", "shape": [1], "type": "object"}}\n',
    b"{"
    + b", ".join(b'"%d": {"$": 0, "shape": [0], "type": "uint8"}' % n for n in range(99))
    + b"}\n",
]


@pytest.mark.parametrize("data", NO_MESSAGES, ids=range(len(NO_MESSAGES)))
def test_messages_that_are_no_messages_are_one_line(site, data):
    with connect(site) as socket:
        socket.send(data)
        message = wire.decode(socket.recv(60))
        assert message["event"] == "message" and "\n" not in message["text"]
        assert ask(socket, "settings")


def test_text_is_no_message(site):
    with connect(site) as socket:
        socket.send('{"id": 1, "ask": "info"}')
        assert "binary" in wire.decode(socket.recv(60))["text"]


def test_a_message_without_a_number_is_answered_so(site):
    with connect(site) as socket:
        socket.send(wire.encode({"ask": {"a": [1]}, "id": {"b": []}}))
        assert "does not know" in wire.decode(socket.recv(60))["error"]


def test_a_proxy_has_no_editor(site):
    with connect(site, x_forwarded_for="10.0.0.1") as socket:
        assert not ask(socket, "info")["offers"]["edit"]
        assert "editor is off" in ask(socket, "check", layer="relu", text="x = 1")


def test_nor_has_a_shell_from_another_machine():
    assert guard.is_remote_shell({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})
    assert not guard.is_remote_shell({"SHELL": "/bin/sh"})


def test_messages_come_back_as_they_went():
    message = {
        "id": 3,
        "flags": np.array([[True, False, True]]),
        "numbers": np.arange(6, dtype=np.float32).reshape(2, 3),
        "one": np.float32(1.5).reshape(()),
        "words": [None, "ü\n", 1.5],
    }
    data = wire.encode(message)
    assert (data.index(b"\n") + 1) % 4 == 0 and len(data) % 4 == 0
    back = wire.decode(data)
    assert back["words"] == message["words"] and back["id"] == 3
    for name in ("flags", "numbers", "one"):
        np.testing.assert_array_equal(back[name], message[name])
    assert wire.decode(wire.encode({"x": np.inf * np.ones(2)}))["x"].tolist() == [np.inf] * 2


def test_a_message_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(wire, "MAX_MESSAGE", 100)
    with pytest.raises(ValueError, match="more than 100"):
        wire.decode(b'{"a": "' + b"x" * 200 + b'"}\n')


def test_a_port_that_is_taken_is_one_line():
    with server.listen() as taken:
        taken.listen()
        port = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(
            ValueError, match=f"cannot serve on port {port}: .*; try another --port"
        ):
            server.listen(port)
