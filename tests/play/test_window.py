"""The window: under SDL's dummy driver inside this process, and a real one on a virtual screen."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygame
import pytest

from play.hud import MARGIN, PANEL_WIDTH, ROW_HEIGHT, VALUE_SIZE, rows
from play.recording import read_recording
from play.runner import SessionThread
from play.session import Session, Settings
from play.view import Loading, Origin, Player, Snapshot
from play.window import DISPLAY_VARIABLES, SIZE, Window, has_display
from tests.play.stages import endless_world, make_stage

PATIENCE = 60.0


def until(condition: Callable[[], object], step: Callable[[], object] = lambda: time.sleep(0.01)) -> None:
    """Steps until the condition holds; fails after a minute, far more than any of this takes."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "this did not happen"
        step()


@pytest.fixture
def window(world_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    """An open window without a screen on a session that has loaded."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    stage = make_stage(endless_world(world_folder))
    session = SessionThread(lambda progress: Session(stage, Settings(horizon=10**6)), seed=0)
    session.start()
    opened = Window(session, "test")
    until(lambda: isinstance(session.view, Snapshot), opened.update)
    yield opened
    opened.close()
    assert session.stop(PATIENCE)
    session.raise_error()


def press(code: int, down: bool = True) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, key=code))


def tap(code: int) -> None:
    press(code)
    press(code, down=False)


def seen(window: Window) -> Snapshot:
    view = window.session.view
    assert isinstance(view, Snapshot)
    return view


def test_a_held_key_is_the_action_until_it_is_released(window: Window) -> None:
    press(pygame.K_d)
    until(lambda: seen(window).action == "RIGHT", window.update)
    press(pygame.K_d, down=False)
    until(lambda: seen(window).action == "NOOP", window.update)


def test_commands_reach_the_session(window: Window) -> None:
    tap(pygame.K_m)
    until(lambda: seen(window).player is Player.AGENT, window.update)
    tap(pygame.K_PERIOD)
    until(lambda: seen(window).paused, window.update)
    tap(pygame.K_LEFT)
    until(lambda: seen(window).origin is Origin.EMULATOR, window.update)
    tap(pygame.K_UP)
    until(lambda: seen(window).horizon == 10**6 + 5, window.update)
    before = seen(window).frames
    tap(pygame.K_e)
    until(lambda: seen(window).frames == before + 1, window.update)


def test_the_newest_frame_is_drawn_in_crisp_pixels(window: Window) -> None:
    tap(pygame.K_PERIOD)
    until(lambda: seen(window).paused, window.update)
    window.update()
    drawn = pygame.surfarray.array3d(window.screen).swapaxes(0, 1)
    assert np.array_equal(drawn[16:656, 16:656], seen(window).frame.repeat(10, 0).repeat(10, 1))


def test_help_covers_the_game_and_goes_away(window: Window) -> None:
    tap(pygame.K_PERIOD)
    until(lambda: seen(window).paused, window.update)
    window.update()
    game = pygame.image.tobytes(window.screen, "RGB")
    tap(pygame.K_F1)
    window.update()
    assert pygame.image.tobytes(window.screen, "RGB") != game
    tap(pygame.K_F1)
    window.update()
    assert pygame.image.tobytes(window.screen, "RGB") == game


def test_escape_closes(window: Window) -> None:
    tap(pygame.K_ESCAPE)
    window.run()
    assert not window.open


def test_the_panel_says_what_a_person_wants_to_know(window: Window) -> None:
    shown = {row.label: row.value for row in rows(seen(window))}
    assert (shown["who plays"], shown["source"], shown["action"]) == ("person", "dream", "NOOP")
    assert set(shown) >= {"return", "step", "frames/s", "model"}


def test_a_display_is_known_by_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DISPLAY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert has_display()


def test_a_window_can_be_closed_while_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def load(progress: Callable[[str], None]) -> Session:
        while True:  # a download that takes forever, but says how far it is
            progress("downloading")
            time.sleep(0.01)

    session = SessionThread(load, seed=0)
    session.start()
    window = Window(session, "test")
    until(lambda: session.view == Loading("downloading"), window.update)
    tap(pygame.K_ESCAPE)
    window.run()
    window.close()
    assert session.stop(PATIENCE)
    session.raise_error()


@dataclass(frozen=True)
class VirtualScreen:
    """An X server without a monitor."""

    display: str
    """Its name, such as ``:1``."""
    framebuffer: Path
    """What it shows, as an XWD file that is always current."""

    def pixels(self) -> np.ndarray:
        """uint8 ``(H, W, 4)``."""
        dump = self.framebuffer.read_bytes()
        header = np.frombuffer(dump, ">u4", 25)
        height, line, start = int(header[5]), int(header[12]), int(header[0] + 12 * header[19])
        return np.frombuffer(dump, np.uint8, height * line, start).reshape(height, -1, 4)

    def action_row(self) -> bytes:
        """The pixels of the panel's action in a window in the middle of the screen."""
        pixels = self.pixels()
        left = (pixels.shape[1] + SIZE[0]) // 2 - PANEL_WIDTH + MARGIN
        top = (pixels.shape[0] - SIZE[1]) // 2 + MARGIN + 3 * ROW_HEIGHT + 17
        return pixels[top : top + VALUE_SIZE, left : left + PANEL_WIDTH - 2 * MARGIN].tobytes()


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[VirtualScreen]:
    """A virtual screen of its own."""
    missing = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]
    if missing and "CI" not in os.environ:  # a Mac or a laptop without them still gets all the other tests
        pytest.skip(f"this test drives a real window: install {' and '.join(missing)} (apt install xvfb xdotool)")
    assert not missing
    read_end, write_end = os.pipe()
    options = ["-screen", "0", "1280x800x24", "-fbdir", str(tmp_path), "-nolisten", "tcp"]
    with (tmp_path / "xvfb.log").open("w") as log:
        command = ["Xvfb", "-displayfd", str(write_end), *options]
        server = subprocess.Popen(command, pass_fds=[write_end], stdout=log, stderr=log)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        number = answer.readline().strip()
    assert number, "Xvfb did not start"
    yield VirtualScreen(f":{number}", tmp_path / "Xvfb_screen0")
    server.terminate()
    server.wait()


def test_keys_sent_to_a_real_window_change_the_action_on_the_panel_and_in_the_dream(
    screen: VirtualScreen, world_folder: Path, tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in DISPLAY_VARIABLES}
    environment = {**kept, "DISPLAY": screen.display, "OMP_NUM_THREADS": "1"}
    arguments = ["atari", "Breakout", "--weights", str(world_folder), "--horizon", "1000000", "--record", "r.mp4"]

    def xdotool(*words: str) -> None:
        subprocess.run(["xdotool", *words], env=environment, check=True)

    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "play", *arguments]
        player = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: player.poll() is not None or list(tmp_path.glob(".r.mp4.*")))  # it plays: the recording began
        time.sleep(1.0)  # until a first step was drawn
        idle = screen.action_row()
        for key in ("d", "Left", "space"):
            xdotool("keydown", key)
            until(lambda: screen.action_row() != idle)
            xdotool("keyup", key)
            until(lambda: screen.action_row() == idle)
        xdotool("key", "Escape")
        assert player.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    finally:
        player.kill()
    actions = [action for log in read_recording(tmp_path / "r.mp4").episodes for action in log.actions]
    changes = [action for i, action in enumerate(actions) if i == 0 or actions[i - 1] != action]
    assert changes == [0, 2, 0, 3, 0, 1, 0]  # RIGHT, LEFT, FIRE, and NOOP between them
