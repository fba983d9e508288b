"""The server of served play: one page, one WebSocket a client, on the event loop of the main thread.

All served files are in memory before the first request; no request path becomes a file path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from aiohttp import WSCloseCode, web

from play.web.client import Client
from play.web.gate import Gate, Limits, is_loopback
from play.web.seats import Seat

PAGE = {
    "": ("index.html", "text/html"),
    "page.mjs": ("page.mjs", "text/javascript"),
    "input.mjs": ("input.mjs", "text/javascript"),
    "style.css": ("style.css", "text/css"),
}
SOCKET = "socket"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SHUTDOWN_SECONDS = 2.0


class _Refused(asyncio.Protocol):
    """Closes a connection beyond the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class PlayServer:
    """Serves seats to the clients that the gate admits. It belongs to one event loop."""

    def __init__(self, seats: Sequence[Seat], gate: Gate, limits: Limits | None = None) -> None:
        self.seats, self.gate, self.limits = seats, gate, limits or Limits()
        self.clients: set[Client] = set()
        self._files = {path: (_static(name), kind) for path, (name, kind) in PAGE.items()}
        self._silent: set[object] = set()
        self._arriving = 0
        app = web.Application(client_max_size=1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=self.limits.silent_seconds)
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> int:
        """Starts to listen and to load the sessions; returns the port (a free one for 0).

        Raises ``OSError`` if it cannot listen on the address.
        """
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self.gate.host, port)
        for seat in self.seats:
            seat.start()
        return self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Tells every client and closes everything except the sessions; only once."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        farewells = [client.stop(WSCloseCode.GOING_AWAY, "the server has stopped") for client in self.clients]
        await asyncio.wait_for(asyncio.gather(*farewells, return_exceptions=True), SHUTDOWN_SECONDS)
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        """Called for every connection before anything is read from it."""
        server = self._runner.server
        assert server is not None
        if len(server.connections) + self._arriving - len(self.clients) >= self.limits.connections:
            return _Refused()
        handler, loop = server(), asyncio.get_running_loop()
        self._arriving += 1
        loop.call_soon(self._arrived)  # roughly when the server counts it
        self._silent.add(handler)
        loop.call_later(self.limits.silent_seconds, self._hang_up_on, handler)
        return handler

    def _arrived(self) -> None:
        self._arriving -= 1

    def _hang_up_on(self, handler: Any) -> None:
        if handler in self._silent:
            self._silent.discard(handler)
            if handler.transport is not None:
                handler.transport.abort()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        path = self.gate.within(request.path) if self.gate.knows_host(request.headers.get("Host")) else None
        if request.method != "GET" or (path != SOCKET and path not in self._files):
            response = web.Response(status=404, text="not found\n", headers=HEADERS)
            response.force_close()
            return response
        if path == SOCKET:
            return await self._play(request)
        content, kind = self._files[path]
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=HEADERS)

    async def _play(self, request: web.Request) -> web.StreamResponse:
        if not self.gate.same_origin(request.headers.get("Origin"), request.headers.get("Host")):
            raise web.HTTPForbidden(text="this page is not of this server\n", headers=HEADERS)
        if len(self.clients) >= self.limits.clients:
            raise web.HTTPServiceUnavailable(text="too many are here\n", headers=HEADERS)
        limits = self.limits
        socket = web.WebSocketResponse(
            heartbeat=limits.heartbeat_seconds, max_msg_size=limits.message_bytes, compress=False
        )
        client = Client(socket, limits, is_loopback(request.remote or ""), self._tell_all)
        self.clients.add(client)
        try:
            await socket.prepare(request)
            client.sit(next((seat for seat in self.seats if seat.player is None), self.seats[0]))
            await client.run()
        finally:
            self.clients.discard(client)
        return socket

    def _tell_all(self) -> None:
        """Tells all clients who plays and how many watch."""
        for seat in self.seats:
            watching = len(seat.clients) - (seat.player is not None)
            for client in seat.clients:
                client.learn({"plays": client is seat.player, "free": seat.player is None, "watching": watching})


def _static(name: str) -> bytes:
    return files("play.web").joinpath("static", name).read_bytes()
