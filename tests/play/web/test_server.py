"""The server: what it serves and to whom, one player and watchers, the newest frame only, bad clients."""

import asyncio
import socket as sockets
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from play.view import Snapshot
from play.web.gate import Gate, Limits
from tests.play.web.servers import PATIENCE, Served, Visitor, real_breakout, row, served

FRAME_RATE = 30.0


@pytest.fixture
def running(world_folder: Path) -> Iterator[Served]:
    """A server on loopback, whose session plays in the real emulator."""
    with served(real_breakout(world_folder, FRAME_RATE)) as running:
        yield running


CODES = aiohttp.WSCloseCode
REFUSALS = {CODES.UNSUPPORTED_DATA, CODES.INVALID_TEXT, CODES.POLICY_VIOLATION, CODES.MESSAGE_TOO_BIG, 1006}
"""Codes of connections that the server closes for what was sent; 1006: the code itself was lost with it."""


@asynccontextmanager
async def visiting(running: Served, **headers: str) -> AsyncIterator[Visitor]:
    """A client that has connected as the page does."""
    origin = {"Origin": f"http://127.0.0.1:{running.port}"}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(running.address + "socket", headers=origin | headers) as socket,
    ):
        yield Visitor(socket)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def within_patience() -> None:
        async with asyncio.timeout(4 * PATIENCE):
            await scenario()

    asyncio.run(within_patience())


async def status(address: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(address, headers=headers) as response:
        return response.status


def test_the_page_and_what_it_needs_are_served_and_nothing_else(running: Served) -> None:
    async def scenario() -> None:
        assert [await status(running.address + name) for name in ("", "page.mjs", "input.mjs", "style.css")] == [
            200
        ] * 4
        for path in (
            "server.py",
            "../server.py",
            "%2e%2e/server.py",
            "..%2fserver.py",
            "static/index.html",
            "x" * 4000,
        ):
            assert await status(running.address + path) == 404

    run(scenario)


def test_the_first_plays_the_second_watches(running: Served) -> None:
    async def scenario() -> None:
        async with visiting(running) as player, visiting(running) as watcher:
            await player.frame()
            await watcher.until(lambda header: "plays" in watcher.news)
            assert watcher.news["title"] == "Breakout"
            await player.until(lambda header: player.news.get("watching") == 1)
            assert (player.news["plays"], watcher.news["plays"]) == (True, False)
            await watcher.send(key="KeyA", down=True, n=1)
            await player.send(key="KeyD", down=True, n=5)
            seen = await watcher.until(lambda header: header["stamp"] == 5)
            assert row(seen, "action") == "RIGHT"

    run(scenario)


def test_a_player_who_leaves_lets_go_and_makes_room(running: Served) -> None:
    async def scenario() -> None:
        async with visiting(running) as leaving, visiting(running) as other:
            await other.frame()
            await leaving.send(key="KeyD", down=True)
            await leaving.until(lambda header: row(header, "action") == "RIGHT")
            await leaving.socket.close()
            await other.until(lambda header: other.news.get("free") is True)
            await other.until(lambda header: row(header, "action") == "NOOP")
            await other.send(play=True)
            await other.until(lambda header: other.news["plays"])
            assert len(running.server.clients) == 1

    run(scenario)


def test_each_player_has_a_dream_of_their_own(world_folder: Path) -> None:
    async def scenario(running: Served) -> None:
        async with visiting(running) as one, visiting(running) as other, visiting(running) as third:
            await one.send(key="KeyD", down=True)
            await other.send(key="KeyA", down=True)
            await one.until(lambda header: row(header, "action") == "RIGHT")
            await other.until(lambda header: row(header, "action") == "LEFT")
            await third.until(lambda header: "plays" in third.news)
            assert not third.news["plays"]

    with served(real_breakout(world_folder, FRAME_RATE), players=2) as running:
        run(lambda: scenario(running))


def test_a_client_that_shows_nothing_is_sent_no_more_than_it_can_have(running: Served) -> None:
    async def scenario() -> None:
        async with visiting(running) as quick, visiting(running) as stuck:
            await quick.until(lambda header: header["frame"] >= 20)
            received = 0
            with suppress(TimeoutError):
                while True:
                    message = await stuck.socket.receive(1.0)
                    received += message.type is aiohttp.WSMsgType.BINARY
            assert received == 2
            before = await quick.frame()
            await stuck.send(shown=0)
            assert (await stuck.frame())["frame"] >= before["frame"] - 1  # the newest one, not the next

    run(scenario)


@pytest.mark.slow
def test_memory_stays_where_it_is(world_folder: Path) -> None:
    async def scenario(running: Served) -> None:
        process = psutil.Process()
        async with visiting(running) as player, visiting(running) as stuck:
            await player.until(lambda header: header["frame"] >= 500)
            before = process.memory_info().rss
            await player.until(lambda header: header["frame"] >= 5500)
            assert process.memory_info().rss - before < 8 * 2**20
            assert not stuck.socket.closed

    with served(real_breakout(world_folder, frame_rate=300.0)) as running:
        run(lambda: scenario(running))


def test_pictures_are_raw_on_the_same_machine(running: Served) -> None:
    async def scenario() -> None:
        async with visiting(running) as player:
            header = await player.frame()
            assert header["codec"] == "raw"
            assert header["bytes"] == header["width"] * header["height"] * 3

    run(scenario)


def test_pictures_are_small_elsewhere(running: Served) -> None:
    async def scenario() -> None:
        async with visiting(running) as player:
            await player.frame()
        message = running.server.seats[0].message(local=False)
        assert isinstance(message, bytes)
        assert len(message) < 64 * 64 * 3

    run(scenario)


def test_other_addresses_need_the_token(world_folder: Path) -> None:
    gate = Gate.at("0.0.0.0")
    assert len(gate.token) >= 20

    async def scenario(running: Served) -> None:
        port = f"http://127.0.0.1:{running.port}"
        assert await status(running.address) == 200
        for path in ("/", "/socket", "/page.mjs", "/wrong/", f"/{gate.token[:-1]}x/", f"/{gate.token}"):
            assert await status(port + path) == 404
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await http.ws_connect(port + "/socket", headers={"Origin": port})

    with served(real_breakout(world_folder, FRAME_RATE), gate=gate) as running:
        run(lambda: scenario(running))


def test_two_tokens_are_two() -> None:
    assert Gate.at("192.168.0.7").token != Gate.at("192.168.0.7").token
    assert [Gate.at(host).token for host in ("127.0.0.1", "127.3.2.1", "::1", "localhost")] == [""] * 4


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1"])
def test_pages_of_others_are_refused(running: Served, origin: str) -> None:
    async def scenario() -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with visiting(running, Origin=origin):
                pass
        assert refusal.value.status == 403

    run(scenario)


def test_names_of_others_are_refused(running: Served) -> None:
    """A page whose name was made to point here is still a foreign page."""

    async def scenario() -> None:
        assert await status(running.address, Host="evil.example") == 404

    run(scenario)


async def played_on(running: Served, bad: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Plays before, while and after something bad happens: nothing of it is noticed."""
    async with visiting(running) as player:
        await player.send(key="KeyD", down=True)
        await player.until(lambda header: row(header, "action") == "RIGHT")
        doing = asyncio.create_task(bad())
        frames = [await player.frame() for _ in range(10)]
        while not doing.done():
            frames.append(await player.frame())
        await doing
        frames += [await player.frame() for _ in range(10)]
        assert all(row(header, "action") == "RIGHT" for header in frames)
        numbers = [header["frame"] for header in frames]
        assert numbers == sorted(numbers)
        assert len(running.server.clients) == 1


@pytest.mark.parametrize(
    "message",
    [
        "x" * 10_000_000,
        b"\x00\xff" * 500,
        "not JSON",
        "[" * 2000,
        "[]",
    ],
    ids=["10 MB", "binary", "text", "nested", "list"],
)
def test_rubbish_ends_the_connection_of_its_sender_alone(running: Served, message: str | bytes) -> None:
    async def bad() -> None:
        async with visiting(running) as villain:
            with suppress(ConnectionError):
                await (
                    villain.socket.send_str(message) if isinstance(message, str) else villain.socket.send_bytes(message)
                )
            while not villain.socket.closed:
                await villain.socket.receive(PATIENCE)
            assert villain.socket.close_code in REFUSALS

    run(lambda: played_on(running, bad))


def test_a_flood_of_messages_ends_the_connection_of_its_sender_alone(running: Served) -> None:
    async def bad() -> None:
        async with visiting(running) as villain:
            with suppress(ConnectionError):
                for _ in range(20_000):
                    await villain.send(shown=1)
            while not villain.socket.closed:
                await villain.socket.receive(PATIENCE)
            assert villain.socket.close_code in (CODES.POLICY_VIOLATION, 1006)

    run(lambda: played_on(running, bad))


def test_a_thousand_connections_do_not_matter(running: Served) -> None:
    async def bad() -> None:
        held = []
        try:
            for _ in range(1000):
                connection = sockets.create_connection(("127.0.0.1", running.port))
                held.append(connection)
                if len(held) % 50 == 0:
                    await asyncio.sleep(0.01)
            server = running.server._runner.server
            assert server is not None
            assert len(server.connections) <= running.server.limits.connections + 2
        finally:
            for connection in held:
                connection.close()

    run(lambda: played_on(running, bad))


def test_only_so_many_clients_are_let_in(world_folder: Path) -> None:
    async def scenario(running: Served) -> None:
        async with visiting(running), visiting(running), visiting(running):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                async with visiting(running):
                    pass
            assert refusal.value.status == 503

    with served(real_breakout(world_folder, FRAME_RATE), limits=Limits(clients=3)) as running:
        run(lambda: scenario(running))


def test_half_open_connections_are_closed(world_folder: Path) -> None:
    """Of those that say nothing, half a request, and a socket that no longer answers."""

    async def bad(running: Served) -> None:
        silent = await asyncio.open_connection("127.0.0.1", running.port)
        slow = await asyncio.open_connection("127.0.0.1", running.port)
        slow[1].write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        dead = await asyncio.open_connection("127.0.0.1", running.port)
        dead[1].write(upgrade(running.port))
        await dead[0].readuntil(b"\r\n\r\n")  # from now on it answers neither frames nor pings
        for reader, _ in (silent, slow):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        with suppress(ConnectionError):
            await dead[0].read()

    limits = Limits(silent_seconds=1.0, heartbeat_seconds=2.0)
    with served(real_breakout(world_folder, FRAME_RATE), limits=limits) as running:
        run(lambda: played_on(running, lambda: bad(running)))


def test_one_who_goes_at_once_leaves_nobody_in_the_seat(running: Served) -> None:
    async def scenario() -> None:
        for _ in range(20):
            connection = sockets.create_connection(("127.0.0.1", running.port))
            connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(upgrade(running.port))
            connection.close()  # without good-bye
        async with visiting(running) as player:
            await player.until(lambda header: "free" in player.news)
            if not player.news["plays"]:
                await player.until(lambda header: player.news["free"])
                await player.send(play=True)
            await player.until(lambda header: player.news["plays"])
            await player.until(lambda header: player.news["watching"] == 0)
            assert len(running.server.clients) == 1

    run(scenario)


def upgrade(port: int) -> bytes:
    """A request that opens a socket."""
    lines = (
        "GET /socket HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Origin: http://127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_the_server_says_good_bye(world_folder: Path) -> None:
    async def scenario(running: Served, stop: Callable[[], None]) -> None:
        async with visiting(running) as player:
            await player.frame()
            stop()
            while not player.socket.closed:
                await player.socket.receive(PATIENCE)
            assert player.socket.close_code == aiohttp.WSCloseCode.GOING_AWAY

    with served(real_breakout(world_folder, FRAME_RATE)) as running:
        seat = running.server.seats[0]
        assert seat._loop is not None
        loop = seat._loop
        run(lambda: scenario(running, lambda: asyncio.run_coroutine_threadsafe(running.server.stop(), loop) and None))
        assert isinstance(running.session.view, Snapshot)
