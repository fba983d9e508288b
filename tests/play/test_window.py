"""The window: under SDL's dummy driver inside this process, and a real one on a virtual screen."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygame
import pytest

from diamond_engine.actions import CsgoAction, csgo
from diamond_engine.world_model import World
from play.actions import Action, FirstPersonActions
from play.canvas import VALUE_SIZE
from play.genres import Genre
from play.hud import MARGIN, PANEL_WIDTH, ROW_HEIGHT, rows, window_size
from play.pointer import SENSITIVITY_FACTOR
from play.recording import read_recording
from play.runner import SessionThread
from play.session import Session, Settings
from play.view import Loading, Origin, Player, Snapshot
from play.window import DISPLAY_VARIABLES, Window, has_display
from tests.play.stages import BREAKOUT, CSGO, endless_world, first_person_session, make_stage

PATIENCE = 60.0
LOOKS = 6000


def until(condition: Callable[[], object], step: Callable[[], object] = lambda: time.sleep(0.01)) -> None:
    """Steps until the condition holds; fails after so many steps, a minute of them, or longer on a busy machine."""
    for _ in range(LOOKS):
        if condition():
            return
        step()
    raise AssertionError("this did not happen")


@contextmanager
def opened(make: Callable[[], Session], genre: Genre) -> Iterator[Window]:
    """An open window without a screen on a session that has loaded; whatever happens, both are closed."""
    session = SessionThread(lambda progress: make(), seed=0)
    session.start()
    try:
        window = Window(session, genre)
        try:
            until(lambda: session.finished.is_set() or isinstance(session.view, Snapshot), window.update)
            session.raise_error()
            yield window
        finally:
            window.close()
    finally:
        stopped = session.stop(PATIENCE)
    assert stopped
    session.raise_error()


@pytest.fixture
def window(world_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    """A window on Breakout."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    stage = make_stage(endless_world(world_folder))
    with opened(lambda: Session(stage, Settings(horizon=10**6)), BREAKOUT) as window:
        yield window


@pytest.fixture
def first_person(tiny_first_person_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    """A window on a first-person world."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with opened(lambda: first_person_session(tiny_first_person_world), CSGO) as window:
        yield window


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
    step = seen(window).step
    until(lambda: seen(window).step >= step + 5, window.update)
    assert seen(window).action == "RIGHT"
    press(pygame.K_d, down=False)
    until(lambda: seen(window).action == "NOOP", window.update)
    assert seen(window).player is Player.PERSON


def test_commands_reach_the_session(window: Window) -> None:
    tap(pygame.K_m)
    until(lambda: seen(window).player is Player.AGENT, window.update)
    tap(pygame.K_PERIOD)
    until(lambda: seen(window).paused, window.update)
    tap(pygame.K_LEFT)
    until(lambda: seen(window).origin is Origin.EMULATOR, window.update)
    tap(pygame.K_UP)
    until(lambda: seen(window).horizon == 10**6 + 5, window.update)
    last = seen(window)
    assert (last.player, last.paused, last.origin) == (Player.AGENT, True, Origin.EMULATOR)
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


def button(number: int, down: bool = True) -> None:
    pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN if down else pygame.MOUSEBUTTONUP, button=number))


def turn(right: int, down: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(right, down), pos=(0, 0), buttons=(0, 0, 0)))


def test_the_mouse_turns_the_view_only_while_it_is_captured(first_person: Window) -> None:
    def turned(right: int, down: int) -> tuple[float, float]:
        """What is left in the latch of a motion while the session waits for it in a single step."""
        turn(right, down)
        first_person.update()
        return first_person.session.latch.read().motion

    first_person.session.stop(PATIENCE)  # now nobody but this test reads the latch
    assert turned(50, 5) == (0, 0)
    button(pygame.BUTTON_LEFT)
    button(pygame.BUTTON_LEFT, down=False)
    assert turned(50, 5) == (50, 5)
    assert first_person.pointer.captured
    assert first_person.session.latch.read().pressed == ()  # the click that captures is no shot
    tap(pygame.K_EQUALS)
    assert turned(80, -40) == (80 * SENSITIVITY_FACTOR, -40 * SENSITIVITY_FACTOR)
    tap(pygame.K_MINUS)
    for _ in range(9):
        turn(3, 1)
    assert turned(3, 1) == pytest.approx((30, 10))  # all of it, not the last event alone
    tap(pygame.K_ESCAPE)
    assert turned(50, 5) == (0, 0)
    assert first_person.open
    tap(pygame.K_ESCAPE)
    first_person.update()
    assert not first_person.open


def test_a_captured_mouse_stays_so_through_full_screen_and_back(first_person: Window) -> None:
    button(pygame.BUTTON_LEFT)
    button(pygame.BUTTON_LEFT, down=False)
    for _ in range(2):
        tap(pygame.K_F11)
        first_person.update()
        assert first_person.pointer.captured
        for event in (pygame.WINDOWFOCUSLOST, pygame.WINDOWFOCUSGAINED):  # as some window managers have it
            pygame.event.post(pygame.event.Event(event))
        first_person.update()
        assert first_person.pointer.captured
        assert pygame.mouse.get_relative_mode()


def test_another_window_frees_the_mouse_for_good(first_person: Window) -> None:
    button(pygame.BUTTON_LEFT)
    for event in (pygame.WINDOWFOCUSLOST, pygame.WINDOWFOCUSGAINED):
        pygame.event.post(pygame.event.Event(event))
    first_person.update()
    assert not first_person.pointer.captured


def test_without_a_mouse_it_says_so_and_the_arrows_turn_the_view(
    first_person: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(enable: bool) -> None:
        raise pygame.error("no mouse here")

    monkeypatch.setattr(pygame.mouse, "set_relative_mode", refuse)
    button(pygame.BUTTON_LEFT)
    first_person.update()
    assert not first_person.pointer.captured
    assert (
        first_person.pointer.hint == "no mouse to capture (no mouse here): look with the arrows or a gamepad; Esc quits"
    )
    press(pygame.K_LEFT)
    until(lambda: seen(first_person).gesture.motion == (-60.0, 0.0), first_person.update)
    press(pygame.K_LEFT, down=False)
    until(lambda: seen(first_person).action == "nothing", first_person.update)
    tap(pygame.K_ESCAPE)
    first_person.update()
    assert not first_person.open


def test_clicks_and_keys_become_the_action(first_person: Window) -> None:
    button(pygame.BUTTON_LEFT)
    first_person.update()
    press(pygame.K_w)
    button(pygame.BUTTON_RIGHT)
    until(lambda: seen(first_person).gesture.pressed == {"w", "right click"}, first_person.update)
    button(pygame.BUTTON_RIGHT, down=False)
    press(pygame.K_w, down=False)
    until(lambda: seen(first_person).action == "nothing", first_person.update)
    assert seen(first_person).gesture.pressed == set()


def test_m_hands_over_to_the_recorded_human_and_enter_goes_to_the_next_spawn(first_person: Window) -> None:
    assert seen(first_person).context == (0, 2)
    tap(pygame.K_RETURN)
    until(lambda: seen(first_person).context == (1, 2), first_person.update)
    tap(pygame.K_PERIOD)
    until(lambda: seen(first_person).paused, first_person.update)
    tap(pygame.K_RETURN)
    tap(pygame.K_m)
    until(lambda: seen(first_person).player is Player.RECORDED, first_person.update)
    assert seen(first_person).step == 0
    before = seen(first_person).frames
    tap(pygame.K_e)
    until(lambda: seen(first_person).frames == before + 1, first_person.update)
    recorded = seen(first_person).gesture
    assert recorded.pressed == {"d"}  # what was recorded at context 0


def test_the_view_is_drawn_in_whole_pixels_and_the_inset_over_it(first_person: Window) -> None:
    tap(pygame.K_PERIOD)
    until(lambda: seen(first_person).paused and seen(first_person).low_res is not None, first_person.update)
    first_person.update()
    shown = pygame.surfarray.array3d(first_person.screen).swapaxes(0, 1)
    frame = seen(first_person).frame.repeat(3, 0).repeat(3, 1)
    assert np.array_equal(shown[16:466, 16:856], frame)
    tap(pygame.K_F2)
    first_person.update()
    shown = pygame.surfarray.array3d(first_person.screen).swapaxes(0, 1)
    low_res = seen(first_person).low_res
    assert low_res is not None
    assert np.array_equal(shown[32:122, 32:200], low_res.repeat(3, 0).repeat(3, 1))
    tap(pygame.K_F2)
    first_person.update()
    assert np.array_equal(pygame.surfarray.array3d(first_person.screen).swapaxes(0, 1)[16:466, 16:856], frame)


def test_full_screen_and_back(first_person: Window) -> None:
    size = first_person.screen.get_size()
    tap(pygame.K_F11)
    first_person.update()
    assert first_person.screen.get_flags() & pygame.FULLSCREEN
    tap(pygame.K_F11)
    first_person.update()
    assert not first_person.screen.get_flags() & pygame.FULLSCREEN
    assert first_person.screen.get_size() == size


def test_a_first_person_panel_says_what_that_world_has(first_person: Window) -> None:
    until(lambda: seen(first_person).stage_ms, first_person.update)
    shown = {row.label: row.value for row in rows(seen(first_person), with_action=False)}
    assert set(shown) == {"who plays", "context", "step", "frames/s", "model", "dynamics", "upsampler"}
    assert shown["context"] == "0 (0 to 1)"


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
    window = Window(session, CSGO)
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

    def third_row(self, genre: Genre) -> bytes:
        """The pixels of the panel's third value in a window in the middle of the screen: the action, or the step."""
        pixels, size = self.pixels(), window_size(genre.frame_size, genre.scale, genre.keymap)
        left = (pixels.shape[1] + size[0]) // 2 - PANEL_WIDTH + MARGIN
        top = (pixels.shape[0] - size[1]) // 2 + MARGIN + 3 * ROW_HEIGHT + 17
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


@contextmanager
def real_window(screen: VirtualScreen, folder: Path, *arguments: str) -> Iterator[Callable[..., None]]:
    """The command on a virtual screen, once it records to ``r.mp4``; yields xdotool, and expects to have been quit."""
    kept = {name: value for name, value in os.environ.items() if name not in DISPLAY_VARIABLES}
    environment = {**kept, "DISPLAY": screen.display, "OMP_NUM_THREADS": "1"}

    def xdotool(*words: str) -> None:
        subprocess.run(["xdotool", *words], env=environment, check=True)

    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "play", *arguments, "--horizon", "1000000", "--record", "r.mp4"]
        player = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: player.poll() is not None or list(folder.glob(".r.mp4.*")))  # it plays: the recording began
        assert player.poll() is None, (folder / "log").read_text()
        time.sleep(1.0)  # until a first step was drawn
        yield xdotool
        assert player.wait(PATIENCE) == 0, (folder / "log").read_text()
    finally:
        player.kill()


def recorded_actions(folder: Path) -> list[Action]:
    return [action for log in read_recording(folder / "r.mp4").episodes for action in log.actions]


def test_keys_sent_to_a_real_window_change_the_action_on_the_panel_and_in_the_dream(
    screen: VirtualScreen, world_folder: Path, tmp_path: Path
) -> None:
    with real_window(screen, tmp_path, "atari", "Breakout", "--weights", str(world_folder)) as xdotool:
        idle = screen.third_row(BREAKOUT)
        for key in ("d", "Left", "space"):
            xdotool("keydown", key)
            until(lambda: screen.third_row(BREAKOUT) != idle)
            xdotool("keyup", key)
            until(lambda: screen.third_row(BREAKOUT) == idle)
        xdotool("key", "Escape")
    actions = recorded_actions(tmp_path)
    changes = [action for i, action in enumerate(actions) if i == 0 or actions[i - 1] != action]
    assert changes == [0, 2, 0, 3, 0, 1, 0]  # RIGHT, LEFT, FIRE, and NOOP between them


@pytest.mark.slow
def test_keys_clicks_and_motion_sent_to_a_real_window_become_the_vectors_of_a_first_person_world(
    screen: VirtualScreen, first_person_folder: Path, tmp_path: Path
) -> None:
    script = (
        "click 1",  # captures the mouse
        "key --delay 0 w",  # far shorter than a step
        "click 1",
        "click 3",
        "mousemove_relative -- 100 0 " * 3,  # within a step or two: nothing of it may be lost
        "mousemove_relative -- 0 -10 " * 2,
        "key --delay 0 Right",
        "keydown d",
        "mousedown 1",
        "mouseup 1",
        "keyup d",
    )
    with real_window(screen, tmp_path, "csgo", "--weights", str(first_person_folder)) as xdotool:
        for line in script:
            xdotool(*line.split())
            for _ in range(3):
                step = screen.third_row(CSGO)
                until(lambda step=step: screen.third_row(CSGO) != step)
        xdotool("key", "Escape")
        xdotool("mousemove_relative", "--", "300", "100")  # the mouse is free again
        xdotool("key", "Escape")
    actions = [action for action in recorded_actions(tmp_path) if action != FirstPersonActions().idle]
    changes = [csgo.decode(np.array(a)) for i, a in enumerate(actions) if i == 0 or actions[i - 1] != a]
    first, last = changes[:3], changes[-3:]
    assert first == [CsgoAction(keys=("w",)), CsgoAction(left_click=True), CsgoAction(right_click=True)]
    assert [actions.count(vector(action)) for action in first] == [1, 1, 1]
    assert last == [CsgoAction(keys=("d",)), CsgoAction(keys=("d",), left_click=True), CsgoAction(keys=("d",))]
    turns = [csgo.decode(np.array(action)) for action in actions]
    turned = (sum(turn.mouse_x for turn in turns), sum(turn.mouse_y for turn in turns))
    assert turned == (300 + csgo.ARROW_MOTION["right"][1], -20)


def vector(action: CsgoAction) -> Action:
    return tuple(csgo.encode(action).tolist())
