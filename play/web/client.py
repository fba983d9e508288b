"""A connected page. It is sent the newest view when it has shown the one before; views are never queued."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from play.web.controls import KEYS, Controls, touch_buttons
from play.web.gate import Allowance, Limits
from play.web.seats import Seat

IN_FLIGHT = 2
"""Views in flight to a page: one that it draws and one on its way."""


class Client:
    """A page on one seat, as its player or a watcher."""

    def __init__(
        self, socket: web.WebSocketResponse, limits: Limits, local: bool, tell_all: Callable[[], None]
    ) -> None:
        """``local``: it runs on this machine; ``tell_all`` is called when a client has come, gone or changed seats."""
        self.seat: Seat | None = None
        self._socket, self._local, self._tell_all = socket, local, tell_all
        self._allowance = Allowance(limits.messages_a_second, limits.burst)
        self._controls: Controls | None = None
        self._new = asyncio.Event()
        self._news: str | None = None
        self._seen: object = None
        self._in_flight = 0

    def sit(self, seat: Seat) -> None:
        """Moves to a seat, as its player if it has none."""
        if self.seat is not None:
            self.seat.release(self)
        self.seat, self._seen = seat, None
        seat.clients.add(self)
        self._controls = Controls(seat.session, seat.genre.keymap, may_record=self._local)
        if seat.player is None:
            seat.player = self
        self._tell_all()
        self.look()

    def look(self) -> None:
        """Marks that there is a new view."""
        self._new.set()

    def learn(self, news: dict[str, Any]) -> None:
        """Marks that the list of clients has changed; only the newest is sent."""
        self._news = json.dumps(news)
        self._new.set()

    async def run(self) -> None:
        """Sends and receives until the page is gone or is closed."""
        assert self.seat is not None
        sending = asyncio.create_task(self._send(self.seat))
        try:
            await self._receive()
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await sending
            self.seat.release(self)
            self._tell_all()

    async def stop(self, code: WSCloseCode, reason: str) -> None:
        """Closes the connection with a reason."""
        await self._socket.close(code=code, message=reason.encode(), drain=False)

    async def _send(self, first: Seat) -> None:
        await self._socket.send_str(json.dumps(_greeting(first)))
        while True:
            await self._new.wait()
            self._new.clear()
            if self._news is not None:
                news, self._news = self._news, None
                await self._socket.send_str(news)
            if self.seat is None or self.seat.session.view is self._seen or self._in_flight >= IN_FLIGHT:
                continue
            self._seen = self.seat.session.view
            message = self.seat.message(self._local)
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                self._in_flight += 1
                await self._socket.send_bytes(message)

    async def _receive(self) -> None:
        async for message in self._socket:
            if not self._allowance.take():
                return await self.stop(WSCloseCode.POLICY_VIOLATION, "too many messages")
            if message.type is not WSMsgType.TEXT:
                return await self.stop(WSCloseCode.UNSUPPORTED_DATA, "text only")
            try:
                self._heed(json.loads(message.data))
            except (ValueError, RecursionError):
                return await self.stop(WSCloseCode.INVALID_TEXT, "no such message")
        return None

    def _heed(self, message: object) -> None:
        assert self.seat is not None
        match message:
            case {"shown": int()}:
                self._in_flight = max(0, self._in_flight - 1)
                self._new.set()
            case {"play": True}:
                if self.seat.player is None:
                    self.sit(self.seat)
            case dict() if self._controls is not None:
                if self.seat.player is self:
                    self._controls.handle(message)
            case _:
                raise ValueError("no such message")


def _greeting(seat: Seat) -> dict[str, Any]:
    """What a page must know about the game."""
    genre = seat.genre
    return {
        "title": genre.title,
        "size": genre.frame_size,
        "scale": genre.scale,
        "mouse": bool(genre.keymap.clicks),
        "touch": touch_buttons(genre),
        "keys": [[line.text, line.shown, line.pad_shown] for line in genre.keymap.bindings if _sent(line.keys)],
    }


def _sent(keys: tuple[tuple[int, object], ...]) -> bool:
    """Whether a page passes the keys of a binding on."""
    return not keys or any(key in KEYS.values() for key, _ in keys)
