"""``diamond-play serve`` as a process, its page in a real browser; and what the command says without its extra."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.play.web.browser import Browser, opened
from tests.play.web.sites import PADDLE
from tests.programs import diamond_play

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of a server and the link it prints; whatever happens, it ends."""
    command = [sys.executable, "-m", "play", "serve", *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        link = re.search(r"http://\S+", line)
        assert link, line + process.stdout.read()
        yield process, link[0]
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_held_key_moves_the_dreamed_paddle_and_a_second_page_watches(browser: Browser, tmp_path: Path) -> None:
    with serving("atari/Breakout", "--preset", "fast", "--port", "0") as (process, link):
        page = browser.page(link)
        page.until("document.getElementById('picture').dataset.frame >= 2")
        for key, place in (("KeyA", "< 15"), ("KeyD", "> 40")):
            page.key(key, True)
            page.until(f"(({PADDLE}) ?? 28) {place}")
            page.key(key, False)
        page.until("document.querySelector('[data-label^=\"input to picture\"]') !== null")
        other = browser.page(link)
        other.until("document.getElementById('role').textContent === 'you watch, 1 watches'")
        other.until("document.getElementById('picture').dataset.frame >= 2")
        page.screenshot(tmp_path / "page.png", 960, 700)
        assert (tmp_path / "page.png").stat().st_size > 5000
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
        assert (process.returncode, "Traceback" in output) == (0, False), output
        assert re.search(r"\d+ frames at", output)
        page.until("document.getElementById('notice').textContent.startsWith('The server has stopped')")
        assert page.errors == other.errors == []
        page.close()
        other.close()


def test_a_killed_server_is_noticed_and_a_new_one_found(browser: Browser, world_folder: Path) -> None:
    arguments = (str(world_folder), "--real", "--preset", "fast", "--port")
    with serving(*arguments, "0") as (process, link):
        page = browser.page(link)
        page.until("document.getElementById('picture').dataset.frame >= 2")
        process.kill()
        page.until("document.getElementById('notice').textContent.startsWith('The server is gone')")
    port = re.findall(r"\d+", link)[-1]
    with serving(*arguments, port):
        page.until("document.getElementById('notice').textContent === ''")
        page.key("KeyD", True)
        page.until("document.querySelector('[data-label=action]').textContent === 'RIGHT'")
        assert page.evaluate("document.getElementById('role').textContent") == "you play, 0 watch"
        page.close()


def without(*packages: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs the command where packages cannot be imported."""
    missing = "".join(f"sys.modules[{name!r}] = None; " for name in packages)
    script = f"import sys; {missing}sys.argv = {['diamond-play', *arguments]!r}; from play.cli import main; main()"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    done = without("aiohttp", arguments=["serve", "atari/Breakout"])
    assert (done.returncode, done.stderr) == (1, "error: serving needs aiohttp: pip install 'diamond-engine[web]'\n")
    done = without("onnx", "onnxscript", arguments=["export", "atari/Breakout", "--out", str(tmp_path / "site")])
    line = "error: exporting needs onnx and onnxscript: pip install 'diamond-engine[web]'\n"
    assert (done.returncode, done.stderr) == (1, line)
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serve"], "serve what?"),
        (["serve", "doom", "--beside"], "no emulator"),
        (["serve", "atari/Breakout", "--players", "0"], "--players must be 1 to"),
        (["serve", "no such world"], "unknown Atari game"),
        (["serve", "--static", "tests"], "is no exported site"),
        (["export", "atari/Breakout", "--out", "README.md"], "is a file"),
        (["export", "atari/Breakout", "--out", "tests"], "holds other files"),
        (["export", "atari/Breakout", "--out", "new", "--runtime", "tests"], "has no ort"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], line: str) -> None:
    done = diamond_play(*arguments, folder=ROOT)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
