"""Translates a page's messages (keys, mouse, gamepad, touch) to latch input and session commands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from string import ascii_uppercase, digits

import pygame

from diamond_engine.actions.key_map import LEFT_CLICK, RIGHT_CLICK
from diamond_engine.games import Button
from play.bindings import Keymap
from play.genres import Genre
from play.runner import SessionThread
from play.view import Command, Loading
from play.web.gate import Allowance

KEYS: dict[str, int] = {
    **{f"Key{letter}": ord(letter.lower()) for letter in ascii_uppercase},
    **{f"Digit{digit}": ord(digit) for digit in digits},
    "ArrowUp": pygame.K_UP,
    "ArrowDown": pygame.K_DOWN,
    "ArrowLeft": pygame.K_LEFT,
    "ArrowRight": pygame.K_RIGHT,
    "Space": pygame.K_SPACE,
    "Enter": pygame.K_RETURN,
    "NumpadEnter": pygame.K_KP_ENTER,
    "Period": pygame.K_PERIOD,
    "BracketLeft": pygame.K_LEFTBRACKET,
    "BracketRight": pygame.K_RIGHTBRACKET,
    "Tab": pygame.K_TAB,
    "ShiftLeft": pygame.K_LSHIFT,
    "ControlLeft": pygame.K_LCTRL,
    "AltLeft": pygame.K_LALT,
    "ShiftRight": pygame.K_RSHIFT,
    "ControlRight": pygame.K_RCTRL,
    "AltRight": pygame.K_RALT,
    "F9": pygame.K_F9,
}
"""Keys by their place on the keyboard (``KeyboardEvent.code``)."""
CROUCH_KEY = "KeyC"
"""Replaces the left Ctrl for crouching: a browser closes the page at Ctrl+W."""
COMMANDS_A_SECOND = 20.0
"""Most commands a second. Further ones are ignored: some take as long as a step."""
AXES, PAD_BUTTONS = range(6), range(16)
FARTHEST = 1e5
"""Largest plausible mouse motion of one message, in counts."""
LABELS = {
    Button.LEFT: "◀",
    Button.RIGHT: "▶",
    Button.UP: "▲",
    Button.DOWN: "▼",
    "w": "▲",
    "a": "◀",
    "s": "▼",
    "d": "▶",
    LEFT_CLICK: "fire",
    RIGHT_CLICK: "aim",
    "left ctrl": "crouch",
    "left shift": "walk",
    "space": "jump",
    "r": "reload",
}


class Controls:
    """The input of one page to a session; only what the keymap knows is accepted."""

    def __init__(self, session: SessionThread, keymap: Keymap, may_record: bool) -> None:
        """``may_record``: whether it may start recordings, which are stored on this machine."""
        self._session, self._keymap, self._may_record = session, keymap, may_record
        self._commands = Allowance(COMMANDS_A_SECOND, COMMANDS_A_SECOND)
        self._buttons = {meaning for meaning in keymap.keys.values() if isinstance(meaning, str)}
        self._buttons |= {*keymap.triggers.values(), *keymap.clicks.values()}

    def handle(self, message: Mapping[str, object]) -> None:
        """Handles a message. Raises ``ValueError`` for messages that no page of this program sends."""
        latch = self._session.latch
        match message:
            case {"key": str(code), "down": bool(down)}:
                self._key(code, down)
            case {"hold": str(button), "down": bool(down)} if button in self._buttons:
                latch.press(("touch", button), button) if down else latch.release(("touch", button))
            case {"click": int(number), "down": bool(down)} if number + 1 in self._keymap.clicks:
                switch = ("mouse", number)  # a browser counts mouse buttons from 0
                latch.press(switch, self._keymap.clicks[number + 1]) if down else latch.release(switch)
            case {"move": [int() | float() as right, int() | float() as down]} if _near(right) and _near(down):
                if self._person_moves():
                    latch.move(right, down)
            case {"pad": int(button), "down": bool(down)} if button in PAD_BUTTONS:
                kind = pygame.JOYBUTTONDOWN if down else pygame.JOYBUTTONUP
                self._translate(pygame.event.Event(kind, instance_id=0, button=button))
            case {"axis": int(axis), "value": int() | float() as value} if axis in AXES and abs(value) <= 1:
                self._translate(pygame.event.Event(pygame.JOYAXISMOTION, instance_id=0, axis=axis, value=float(value)))
            case {"hat": [(-1 | 0 | 1) as right, (-1 | 0 | 1) as up]}:
                self._translate(pygame.event.Event(pygame.JOYHATMOTION, instance_id=0, hat=0, value=(right, up)))
            case {"command": str(name)} if name in Command.__members__:
                self._obey(Command[name])
            case {"blur": True}:
                latch.release_all()
            case _:
                raise ValueError("no such message")
        if isinstance(number := message.get("n"), int) and 0 <= number < 2**53:
            latch.stamp(number)

    def _key(self, code: str, down: bool) -> None:
        if code == CROUCH_KEY and KEYS[code] not in self._keymap.keys and pygame.K_LCTRL in self._keymap.keys:
            code = "ControlLeft"
        if code in KEYS:
            self._translate(pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, key=KEYS[code]))

    def _translate(self, event: pygame.event.Event) -> None:
        arrows_move = self._person_moves() or isinstance(self._session.view, Loading)
        command = self._keymap.translate(event, self._session.latch, arrows_move)
        if isinstance(command, Command):
            self._obey(command)

    def _obey(self, command: Command) -> None:
        if (command is not Command.RECORD or self._may_record) and self._commands.take():
            self._session.send(command)

    def _person_moves(self) -> bool:
        view = self._session.view
        return not isinstance(view, Loading) and view.person_moves


def touch_buttons(genre: Genre) -> dict[str, list[dict[str, str]]]:
    """Touch buttons: directions and others, each with its name and its label."""
    keymap = genre.keymap
    stick = (keymap.stick.left, keymap.stick.up, keymap.stick.down, keymap.stick.right)
    others = [meaning for meaning in keymap.pad.values() if isinstance(meaning, str)]
    others += genre.actions.keys
    others = [name for name in dict.fromkeys((*keymap.triggers.values(), *others)) if name not in stick]
    return {
        kind: [{"name": name, "label": LABELS.get(name, name.lower())} for name in names if genre.actions.has(name)]
        for kind, names in (("directions", stick), ("others", others))
    }


def _near(counts: float) -> bool:
    return math.isfinite(counts) and abs(counts) <= FARTHEST
