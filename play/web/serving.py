"""``diamond-play serve``: sessions on their threads, the server on the main one, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from diamond_engine.errors import DiamondError, UsageError
from play.genres import genre_of, shown_from
from play.launch import PATIENCE_SECONDS, load
from play.options import Options, Outputs, check
from play.runner import SessionThread
from play.view import Player
from play.web.gate import Gate
from play.web.isolated import make_server

if TYPE_CHECKING:
    from play.web.server import PlayServer

MISSING = "serving needs aiohttp: pip install 'diamond-engine[web]'"
MOST_PLAYERS = 16
SEEDS_APART = 1000
"""Distance between the seeds of two players' dreams."""


@dataclass(frozen=True)
class Address:
    """Address and port of a server."""

    host: str = "127.0.0.1"
    """An address of this machine; 0.0.0.0 for all."""
    port: int = 8000
    """Port; 0 takes any free one."""


def serve(options: Options, address: Address, players: int, console: Console) -> None:
    """Serves play until Ctrl-C. Raises ``DiamondError`` or ``UsageError`` if it cannot be served."""
    check(options, Outputs())
    if not 1 <= players <= MOST_PLAYERS:
        raise UsageError(f"--players must be 1 to {MOST_PLAYERS}, not {players}")
    if options.record is not None and players > 1:
        raise UsageError("--record keeps one dream: leave it out, or --players")
    try:
        from play.web.seats import Seat
        from play.web.server import PlayServer
    except ModuleNotFoundError as error:
        raise DiamondError(MISSING) from error
    options = replace(options, player=options.player or Player.PERSON)
    genre = shown_from(genre_of(options.game), options.origin)
    seats = [Seat(i, genre, partial(_session, options, i)) for i in range(players)]
    server = PlayServer(seats, Gate.at(address.host))
    try:
        asyncio.run(_run(server, address, console))
    finally:
        stopped = [seat.session.stop(PATIENCE_SECONDS) for seat in seats]
    for seat in seats:
        seat.session.raise_error()
        if seat.session.report is not None and all(stopped):
            report = seat.session.report
            line = f"{report.frames} frames at {report.fps:.1f} frames/s on {report.runtime}"
            console.print(line, highlight=False, soft_wrap=True, markup=False)


async def _run(server: PlayServer, address: Address, console: Console) -> None:
    """Waits for Ctrl-C or for a session to end by itself."""
    stopping = asyncio.Event()
    with suppress(NotImplementedError):  # Windows: KeyboardInterrupt ends the loop
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    port = await server.start(address.port)
    link = _link(address.host, port).rstrip("/") + server.gate.prefix
    console.print(f"playing at {link} (Ctrl-C stops)", highlight=False, soft_wrap=True)
    ends = [asyncio.create_task(event.wait()) for event in (stopping, *(seat.ended for seat in server.seats))]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        await server.stop()


def _session(options: Options, number: int, on_view: Callable[[], None]) -> SessionThread:
    """The session of one seat; each has its own dream."""
    own = replace(options, seed=options.seed + SEEDS_APART * number)
    return SessionThread(partial(load, own), own.seed, on_view=on_view)


def serve_site(folder: Path, address: Address, console: Console) -> None:
    """Serves an exported site until Ctrl-C. Raises ``DiamondError`` if the folder holds none."""
    if not (folder / "index.html").is_file() or not (folder / "world.json").is_file():
        raise DiamondError(f"{folder} is no exported site: make one with 'diamond-play export WORLD --out {folder}'")
    with make_server(folder, address.host, address.port) as server:
        console.print(f"serving {folder} at {_link(address.host, server.server_port)}", highlight=False, soft_wrap=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _link(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
