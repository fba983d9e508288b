"""A real browser, driven by its DevTools protocol: Debian's Chromium, headless, with a profile of its own."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PATIENCE = 600.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Its path; skips the test where it is missing, and fails it in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if "CI" in os.environ:
            raise AssertionError("CI needs Chromium: apt-get install chromium")
        pytest.skip("no Chromium here")
    return found


class Browser:
    """One Chromium; its pages are driven from any thread, its traffic runs on a loop of its own."""

    def __init__(self, profile: Path, *flags: str) -> None:
        command = [chromium(), *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._port = self._found_port(profile / "DevToolsActivePort")
        self._http = self.run(self._opened())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine on the loop and waits for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def page(self, address: str) -> Page:
        """A new tab at an address."""
        return Page(self, self.run(self._new_tab()), address)

    def close(self) -> None:
        """Ends the process."""
        self.run(self._http.close())
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _found_port(self, path: Path) -> int:
        deadline = time.monotonic() + PATIENCE
        while not path.exists() or not path.read_text().strip():
            assert self._process.poll() is None, "Chromium ended at once"
            assert time.monotonic() < deadline, "Chromium opened no port"
            time.sleep(0.05)
        return int(path.read_text().split()[0])

    async def _opened(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def _new_tab(self) -> aiohttp.ClientWebSocketResponse:
        async with self._http.put(f"http://127.0.0.1:{self._port}/json/new?about:blank") as response:
            tab = await response.json()
        return await self._http.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)


class Page:
    """A tab. What it logs and what goes wrong in it is kept in ``errors``."""

    def __init__(self, browser: Browser, socket: aiohttp.ClientWebSocketResponse, address: str) -> None:
        self.errors: list[str] = []
        self._browser, self._socket = browser, socket
        self._numbers, self._answers = itertools.count(1), dict[int, asyncio.Future[Any]]()
        asyncio.run_coroutine_threadsafe(self._receive(), browser._loop)
        for domain in ("Runtime", "Page", "Network"):
            self.call(f"{domain}.enable")
        self.open(address)

    def call(self, method: str, **parameters: Any) -> Any:
        """One call of the protocol; returns its result."""
        return self._browser.run(self._call(method, parameters))

    def open(self, address: str) -> None:
        """Goes to an address."""
        self.call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, awaited where it is a promise; raises what it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", {}).get("description", answer))
        return answer["result"].get("value")

    def until(self, condition: str, patience: float = PATIENCE) -> Any:
        """Waits until an expression is true and returns it; fails when it does not become so."""
        deadline = time.monotonic() + patience
        while not (value := self._tried(condition)):
            shown = self._tried("document.body?.innerText")
            assert time.monotonic() < deadline, f"never: {condition}; the page says {shown!r}, {self.errors}"
            time.sleep(0.05)
        return value

    def key(self, code: str, down: bool) -> None:
        """A key goes down or up, as from the keyboard."""
        kind = "rawKeyDown" if down else "keyUp"
        self.call("Input.dispatchKeyEvent", type=kind, code=code, key=code, windowsVirtualKeyCode=0)

    def tap(self, code: str) -> None:
        """A key goes down and up."""
        self.key(code, True)
        self.key(code, False)

    def screenshot(self, path: Path, width: int, height: int) -> None:
        """A PNG of the page at a size of its window."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """Closes the tab."""
        self._browser.run(self._call("Page.close", {}))

    def _tried(self, expression: str) -> Any:
        """None while the page is on its way from one document to another."""
        try:
            return self.evaluate(expression)
        except AssertionError:
            return None

    async def _call(self, method: str, parameters: dict[str, Any]) -> Any:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await self._answers[number]

    async def _receive(self) -> None:
        async for message in self._socket:
            data = message.json()
            if "id" in data and data["id"] in self._answers:
                answer = self._answers.pop(data["id"])
                if "error" in data:
                    answer.set_exception(AssertionError(data["error"]["message"]))
                else:
                    answer.set_result(data["result"])
            elif data.get("method") == "Runtime.exceptionThrown":
                self.errors.append(data["params"]["exceptionDetails"].get("exception", {}).get("description", "?"))
            elif data.get("method") == "Runtime.consoleAPICalled":
                self.errors += [str(argument.get("value", argument)) for argument in data["params"]["args"]]


@contextmanager
def opened(profile: Path, *flags: str) -> Iterator[Browser]:
    """A browser that is closed whatever happens."""
    browser = Browser(profile, *flags)
    try:
        yield browser
    finally:
        browser.close()
