"""What a page tells: keys, mouse, gamepad and touch as presses and commands, and all else refused."""

from pathlib import Path
from typing import Any

import pytest

from play.actions import LEFT_CLICK
from play.latch import Input
from play.runner import SessionThread
from play.view import Command
from play.web.controls import Controls, touch_buttons
from tests.play.stages import BREAKOUT, CSGO, make_session


class Listening(SessionThread):
    """A session thread that is never started and notes its commands."""

    def __init__(self) -> None:
        super().__init__(lambda progress: make_session(Path()), seed=0)
        self.sent: list[Command] = []

    def send(self, command: Command) -> None:
        self.sent.append(command)


def told(*messages: dict[str, Any], genre: Any = BREAKOUT, may_record: bool = True) -> tuple[Input, list[Command]]:
    session = Listening()
    controls = Controls(session, genre.keymap, may_record)
    for message in messages:
        controls.handle(message)
    return session.latch.read(), session.sent


def test_keys_are_those_of_the_keymap() -> None:
    given, commands = told({"key": "KeyA", "down": True}, {"key": "Space", "down": True}, {"key": "KeyM", "down": True})
    assert given.pressed == ("LEFT", "FIRE")
    assert commands == [Command.HAND_OVER]


def test_a_released_key_is_a_tap_until_it_is_read() -> None:
    given, _ = told({"key": "ArrowRight", "down": True}, {"key": "ArrowRight", "down": False})
    assert given.pressed == ("RIGHT",)


def test_keys_without_a_meaning_do_nothing() -> None:
    given, commands = told({"key": "KeyQ", "down": True}, {"key": "IntlYen", "down": True})
    assert (given.pressed, commands) == ((), [])


def test_gamepad_and_touch_press_too() -> None:
    given, _ = told({"axis": 0, "value": -1}, {"pad": 0, "down": True})
    assert given.pressed == ("LEFT", "FIRE")
    given, _ = told({"hat": [1, 0]})
    assert given.pressed == ("RIGHT",)
    given, _ = told({"hold": "RIGHT", "down": True})
    assert given.pressed == ("RIGHT",)


def test_c_crouches_where_ctrl_would_close_the_page() -> None:
    assert told({"key": "KeyC", "down": True}, genre=CSGO)[0].pressed == ("left ctrl",)
    assert told({"key": "KeyC", "down": True})[0].pressed == ()


def test_mouse_buttons_are_counted_as_a_browser_does() -> None:
    assert told({"click": 0, "down": True}, genre=CSGO)[0].pressed == (LEFT_CLICK,)


def test_the_newest_number_is_the_stamp() -> None:
    assert told({"key": "KeyA", "down": True, "n": 7}, {"blur": True, "n": 8})[0].stamp == 8


def test_losing_the_focus_lets_go() -> None:
    session = Listening()
    controls = Controls(session, BREAKOUT.keymap, may_record=True)
    controls.handle({"key": "KeyA", "down": True})
    assert session.latch.read().pressed == ("LEFT",)
    controls.handle({"blur": True})
    assert session.latch.read().pressed == ()


def test_recordings_lie_on_the_server_and_are_not_for_everybody() -> None:
    assert told({"key": "KeyR", "down": True})[1] == [Command.RECORD]
    assert told({"key": "KeyR", "down": True}, may_record=False)[1] == []


def test_commands_come_only_so_often() -> None:
    assert len(told(*[{"key": "Enter", "down": True}] * 1000)[1]) < 100


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"key": 5, "down": True},
        {"key": "KeyA", "down": 1},
        {"hold": "no such button", "down": True},
        {"click": 0, "down": True},
        {"click": 10**9, "down": True},
        {"move": [1]},
        {"move": [float("nan"), 0]},
        {"move": [1e300, 0]},
        {"move": ["1", 0]},
        {"axis": 99, "value": 0},
        {"axis": 0, "value": 5},
        {"pad": -1, "down": True},
        {"hat": [7, 0]},
        {"n": 10**2000},
        {"command": "rm -rf"},
        {"command": "__class__"},
    ],
    ids=lambda message: str(message)[:40],
)
def test_what_no_page_sends_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no such message"):
        told(message)


def test_fingers_get_the_buttons_the_world_has() -> None:
    names = {kind: [button["name"] for button in buttons] for kind, buttons in touch_buttons(BREAKOUT).items()}
    assert names == {"directions": ["LEFT", "RIGHT"], "others": ["FIRE"]}
    assert [button["name"] for button in touch_buttons(CSGO)["directions"]] == ["a", "w", "s", "d"]
