"""Who may talk to a page's server: a browser on this machine whose address holds the token."""

import os
import secrets
from collections.abc import Mapping

__all__ = ["WRONG_TOKEN", "Guard", "is_forwarded", "is_remote_shell"]

WRONG_TOKEN = (
    "the token in the address is missing or wrong: open the address that `autocnn page` printed"
)
_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "via", "x-real-ip")
_SHELLS = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")


class Guard:
    """The token and the addresses of one server on 127.0.0.1.

    A page of another site can send requests to 127.0.0.1, and a name of another site can lead
    there. The first does not know the token and has another Origin; the second has another Host.
    """

    def __init__(self, port: int, token: str | None = None):
        self.port = port
        self.token = token or secrets.token_urlsafe(24)
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        if port == 80:
            self.hosts |= {"127.0.0.1", "localhost"}
        self.origins = {f"http://{host}" for host in self.hosts}

    @property
    def address(self) -> str:
        """The address that opens the page."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def refusal(
        self, headers: Mapping[str, str], token: str | None, is_socket: bool = False
    ) -> str | None:
        """Say in one line why a request is refused, None for one that is not.

        headers: with lower-case names. token: what the address holds. is_socket: a websocket, which
        must have an Origin.
        """
        if headers.get("host") not in self.hosts:
            return f"this server answers as 127.0.0.1:{self.port} only"
        origin = headers.get("origin")
        if (origin is not None or is_socket) and origin not in self.origins:
            return "this server answers its own page only, and none of another origin"
        if not secrets.compare_digest((token or "").encode(), self.token.encode()):
            return WRONG_TOKEN
        return None


def is_remote_shell(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this program was started from another machine."""
    return any(environment.get(name) for name in _SHELLS)


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Return whether a request came through a proxy."""
    return any(name in headers for name in _PROXIES)
