"""Servers of real sessions inside this process, on a loop and a thread of their own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from play.runner import SessionThread
from play.session import Session, Settings
from play.view import Origin
from play.web.gate import Gate, Limits
from play.web.seats import Seat
from play.web.server import PlayServer
from tests.play.stages import BREAKOUT, endless_world, make_stage

PATIENCE = 60.0


def real_breakout(folder: Path, frame_rate: float) -> Callable[[], Session]:
    """Makes sessions in the real emulator, which takes about a millisecond a step."""
    stage = replace(make_stage(endless_world(folder)), frame_rate=frame_rate)
    return lambda: Session(stage, Settings(origin=Origin.EMULATOR))


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    server: PlayServer
    port: int

    @property
    def address(self) -> str:
        """Of its page."""
        return f"http://127.0.0.1:{self.port}{self.server.gate.prefix}"

    @property
    def session(self) -> SessionThread:
        """Of the first seat."""
        return self.server.seats[0].session


@contextmanager
def served(
    make: Callable[[], Session], players: int = 1, gate: Gate | None = None, limits: Limits | None = None
) -> Iterator[Served]:
    """A server on a free port of loopback; whatever happens, it and its sessions end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE)

    def open_session(on_view: Callable[[], None]) -> SessionThread:
        return SessionThread(lambda progress: make(), seed=0, on_view=on_view)

    async def build() -> PlayServer:
        return PlayServer(
            [Seat(i, BREAKOUT, open_session) for i in range(players)], gate or Gate.at("127.0.0.1"), limits
        )

    server = run(build())
    try:
        yield Served(server, run(server.start(0)))
    finally:
        run(server.stop())
        stopped = [seat.session.stop(PATIENCE) for seat in server.seats]
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
    assert all(stopped)
    for seat in server.seats:
        seat.session.raise_error()


class Visitor:
    """A client as the page is one."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.news: dict[str, Any] = {}

    async def send(self, **message: Any) -> None:
        """Sends a message."""
        await self.socket.send_json(message)

    async def frame(self) -> dict[str, Any]:
        """The header of the next frame, which it then says it has shown; other messages go to ``news``."""
        while True:
            message = await self.socket.receive(PATIENCE)
            if message.type is aiohttp.WSMsgType.BINARY:
                header = header_of(message.data)
                await self.send(shown=header["frame"])
                return header
            assert message.type is aiohttp.WSMsgType.TEXT, message
            self.news |= message.json()

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first frame's header for which a condition holds."""
        for _ in range(10_000):
            header = await self.frame()
            if condition(header):
                return header
        raise AssertionError("this did not happen")


def header_of(message: bytes) -> dict[str, Any]:
    """Of a view, with the size of its picture in bytes."""
    length = int.from_bytes(message[:4], "little")
    return json.loads(message[4 : 4 + length]) | {"bytes": len(message) - 4 - length}


def row(header: dict[str, Any], label: str) -> str:
    """A value of the panel."""
    return next(value for name, value, _ in header["rows"] if name == label)
