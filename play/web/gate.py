"""Access control and limits: who may connect, how many, and how much each may send."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

TOKEN_BYTES = 16
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Limits:
    """Limits for all clients."""

    clients: int = 32
    """Players and watchers at a time."""
    connections: int = 64
    """Other connections; further ones are closed at once."""
    silent_seconds: float = 10.0
    """Seconds after which a connection without a request is closed."""
    message_bytes: int = 2048
    """Largest message of a client."""
    messages_a_second: float = 400.0
    """Messages a second that a client may send, in the long run."""
    burst: float = 800.0
    """Messages that it may send at once."""
    heartbeat_seconds: float = 10.0
    """Seconds between pings; a client that does not answer within half of it is closed."""


@dataclass(frozen=True)
class Gate:
    """Decides about requests by their headers and paths."""

    host: str
    """The address of the server."""
    token: str
    """The token of links; empty if none is needed."""

    @classmethod
    def at(cls, host: str) -> Gate:
        """Open on loopback, which only this machine can reach; else with a random token."""
        return cls(host, "" if is_loopback(host) else secrets.token_urlsafe(TOKEN_BYTES))

    @property
    def prefix(self) -> str:
        """Prefix of all served paths."""
        return f"/{self.token}/" if self.token else "/"

    def within(self, path: str) -> str | None:
        """The path without the prefix; None if the prefix is wrong."""
        start, rest = path[: len(self.prefix)], path[len(self.prefix) :]
        given = start.encode(errors="surrogatepass")
        return rest if hmac.compare_digest(given, self.prefix.encode()) else None

    def knows_host(self, host: str | None) -> bool:
        """Whether ``Host`` names this server. On loopback a foreign name means a page of another site."""
        name = _name(host)
        return name is not None and (bool(self.token) or name in (*LOCAL_NAMES, self.host))

    @staticmethod
    def same_origin(origin: str | None, host: str | None) -> bool:
        """Whether a request comes from a page of this server."""
        return bool(origin) and bool(host) and urlsplit(origin or "").netloc == host


class Allowance:
    """A token bucket: a burst at once, then a rate a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._then = burst, time.monotonic()

    def take(self) -> bool:
        """Takes one token; False if there is none."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def is_loopback(host: str) -> bool:
    """Whether an address, or the name ``localhost``, can be reached only from this machine."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _name(host: str | None) -> str | None:
    """The name in a ``Host`` header, without its port."""
    try:
        return urlsplit(f"//{host or ''}").hostname
    except ValueError:
        return None
