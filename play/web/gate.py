"""Who may come in, how many, and how much each may say."""

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
    """Bounds that hold whoever comes."""

    clients: int = 32
    """Players and watchers at a time."""
    connections: int = 64
    """Connections besides theirs; further ones are closed as they come."""
    silent_seconds: float = 10.0
    """A connection that has not asked for anything by then is closed."""
    message_bytes: int = 2048
    """Largest message of a client."""
    messages_a_second: float = 400.0
    """How many messages a client may send, in the long run."""
    burst: float = 800.0
    """How many it may send at once."""
    heartbeat_seconds: float = 10.0
    """Every so often a client must answer; one that does not within half of it is gone."""


@dataclass(frozen=True)
class Gate:
    """Decides about requests by what they say of themselves."""

    host: str
    """The address that is listened on."""
    token: str
    """What a link must hold; empty where none is needed."""

    @classmethod
    def at(cls, host: str) -> Gate:
        """Open on loopback, where only this machine's own programs come; else with a random token."""
        return cls(host, "" if is_loopback(host) else secrets.token_urlsafe(TOKEN_BYTES))

    @property
    def prefix(self) -> str:
        """What the paths of all that is served begin with."""
        return f"/{self.token}/" if self.token else "/"

    def within(self, path: str) -> str | None:
        """The rest of a path that begins with the right prefix; None for all others."""
        start, rest = path[: len(self.prefix)], path[len(self.prefix) :]
        given = start.encode(errors="surrogatepass")
        return rest if hmac.compare_digest(given, self.prefix.encode()) else None

    def knows_host(self, host: str | None) -> bool:
        """Whether ``Host`` names this server: on loopback a foreign name is that of a page that tries to get in."""
        name = _name(host)
        return name is not None and (bool(self.token) or name in (*LOCAL_NAMES, self.host))

    @staticmethod
    def same_origin(origin: str | None, host: str | None) -> bool:
        """Whether a request comes from a page of this server itself."""
        return bool(origin) and bool(host) and urlsplit(origin or "").netloc == host


class Allowance:
    """So many at once, and so many a second from then on."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._then = burst, time.monotonic()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def is_loopback(host: str) -> bool:
    """Whether an address, or the name ``localhost``, is of this machine alone."""
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
