"""A seat: one session on the server, its player and watchers, and its newest view as a message."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from play.genres import Genre
from play.hud import marks, rows
from play.runner import SessionThread
from play.view import Loading, Snapshot
from play.web.pictures import RAW, Codec, quickest

if TYPE_CHECKING:
    from play.web.client import Client

OpenSession = Callable[[Callable[[], None]], SessionThread]
"""Makes the thread of a session, given a function to call when the view has changed."""


class Seat:
    """One session and its clients. Only the thread of the event loop uses it."""

    def __init__(self, number: int, genre: Genre, open_session: OpenSession) -> None:
        self.number, self.genre = number, genre
        self.player: Client | None = None
        """The client whose input the session gets."""
        self.clients: set[Client] = set()
        """All clients that see it, including the player."""
        self.session = open_session(self._on_view)
        self.ended = asyncio.Event()
        """Set once the session has finished."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = False
        self._codec: Codec | None = None
        self._view: Loading | Snapshot | None = None
        self._messages: dict[str, bytes | str] = {}

    def start(self) -> None:
        """Starts the session's thread. Call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        self.session.start()

    def message(self, local: bool) -> bytes | str:
        """The newest view: text while it loads, else a header's length, the header, and the picture's bytes.

        ``local``: for a client on this machine. A message for several clients is encoded once.
        """
        view = self.session.view
        if view is not self._view:
            self._view, self._messages = view, {}
        if isinstance(view, Loading):
            return json.dumps({"loading": view.line})
        if self._codec is None and not local:
            self._codec = quickest(view.frame)
        codec = RAW if local or self._codec is None else self._codec
        if codec.name not in self._messages:
            self._messages[codec.name] = _picture(view, codec)
        return self._messages[codec.name]

    def release(self, client: Client) -> None:
        """The client leaves; a player's keys are released."""
        self.clients.discard(client)
        if self.player is client:
            self.player = None
            self.session.latch.release_all()

    def _on_view(self) -> None:
        """Called on the session thread. Wakes the clients once for all views that come before they wake."""
        if self._loop is not None and not self._told:
            self._told = True
            try:
                self._loop.call_soon_threadsafe(self._tell)
            except RuntimeError:  # the loop has ended before the session
                self._loop = None

    def _tell(self) -> None:
        self._told = False
        for client in self.clients:
            client.look()
        if self.session.finished.is_set():
            self.ended.set()


def _picture(view: Snapshot, codec: Codec) -> bytes:
    height, width = view.frame.shape[:2]
    header = {
        "frame": view.frames,
        "stamp": view.stamp,
        "codec": codec.name,
        "width": width,
        "height": height,
        "rows": [[row.label, row.value, row.share] for row in rows(view)],
        "marks": [*marks(view)],
        "message": view.message,
    }
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + codec.encode(view.frame)
