"""Keys and gamepad controls: the one table of what they mean, which F1 shows, and its translation of events."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, auto

import pygame

from diamond_engine.actions import Button
from play.latch import InputLatch
from play.view import Command

AXIS_THRESHOLD = 0.5


class WindowCommand(Enum):
    """What can be asked of the window itself."""

    HELP = auto()
    QUIT = auto()


Meaning = Button | Command | WindowCommand


@dataclass(frozen=True)
class Binding:
    """One line of the help: controls that do the same thing."""

    text: str
    """What it does."""
    keys: tuple[tuple[int, Meaning], ...]
    """Keys (pygame constants) and what each means."""
    shown: str
    """The keys as a person reads them."""
    pad: tuple[tuple[int, Meaning], ...] = ()
    """Gamepad buttons (by number, as SDL counts them on an Xbox pad) and what each means."""
    pad_shown: str = ""
    """The gamepad controls as a person reads them."""
    arrows: tuple[tuple[int, Meaning], ...] = ()
    """Arrow keys that mean this only while no person is moving: paused, or while the agent plays."""


BINDINGS = (
    Binding(
        "move",
        (
            (pygame.K_w, Button.UP),
            (pygame.K_a, Button.LEFT),
            (pygame.K_s, Button.DOWN),
            (pygame.K_d, Button.RIGHT),
            (pygame.K_UP, Button.UP),
            (pygame.K_LEFT, Button.LEFT),
            (pygame.K_DOWN, Button.DOWN),
            (pygame.K_RIGHT, Button.RIGHT),
        ),
        "W A S D, or the arrows",
        pad_shown="stick, cross",
    ),
    Binding("fire", ((pygame.K_SPACE, Button.FIRE),), "Space", ((0, Button.FIRE), (2, Button.FIRE)), "A, X"),
    Binding(
        "hand control to the agent and back",
        ((pygame.K_m, Command.HAND_OVER),),
        "M",
        ((3, Command.HAND_OVER),),
        "Y",
    ),
    Binding(
        "start a new episode",
        ((pygame.K_RETURN, Command.RESET), (pygame.K_KP_ENTER, Command.RESET)),
        "Enter",
        ((6, Command.RESET),),
        "Back",
    ),
    Binding("pause, go on", ((pygame.K_PERIOD, Command.PAUSE),), "Period ( . )", ((7, Command.PAUSE),), "Start"),
    Binding("play a single step", ((pygame.K_e, Command.SINGLE_STEP),), "E", ((5, Command.SINGLE_STEP),), "RB"),
    Binding(
        "longer or shorter dreams (horizon)",
        ((pygame.K_RIGHTBRACKET, Command.LONGER_HORIZON), (pygame.K_LEFTBRACKET, Command.SHORTER_HORIZON)),
        "] and [, or Up and Down while you do not play",
        arrows=((pygame.K_UP, Command.LONGER_HORIZON), (pygame.K_DOWN, Command.SHORTER_HORIZON)),
    ),
    Binding(
        "switch between dream and real emulator",
        ((pygame.K_TAB, Command.SWITCH_SOURCE),),
        "Tab, or Left and Right while you do not play",
        ((4, Command.SWITCH_SOURCE),),
        "LB",
        arrows=((pygame.K_LEFT, Command.SWITCH_SOURCE), (pygame.K_RIGHT, Command.SWITCH_SOURCE)),
    ),
    Binding("start or stop recording", ((pygame.K_r, Command.RECORD),), "R"),
    Binding("show or hide this help", ((pygame.K_F1, WindowCommand.HELP),), "F1"),
    Binding("quit", ((pygame.K_ESCAPE, WindowCommand.QUIT),), "Esc"),
)

KEYS: dict[int, Meaning] = {key: meaning for binding in BINDINGS for key, meaning in binding.keys}
ARROW_CONTROLS: dict[int, Meaning] = {key: meaning for binding in BINDINGS for key, meaning in binding.arrows}
PAD: dict[int, Meaning] = {button: meaning for binding in BINDINGS for button, meaning in binding.pad}


def translate(event: pygame.event.Event, latch: InputLatch, arrows_move: bool) -> Command | WindowCommand | None:
    """Lets an event press or release buttons on the latch; returns the command it stands for, if any.

    ``arrows_move``: whether the arrow keys are the joystick now, or the controls of horizon and source.
    """
    match event.type:
        case pygame.QUIT:
            return WindowCommand.QUIT
        case pygame.KEYDOWN:
            controls = KEYS if arrows_move else KEYS | ARROW_CONTROLS
            return _down(("key", event.key), controls.get(event.key), latch)
        case pygame.KEYUP:
            latch.release(("key", event.key))
        case pygame.JOYBUTTONDOWN:
            return _down(("pad", event.instance_id, event.button), PAD.get(event.button), latch)
        case pygame.JOYBUTTONUP:
            latch.release(("pad", event.instance_id, event.button))
        case pygame.JOYHATMOTION:
            _move(("hat", event.instance_id, event.hat), event.value[0], -event.value[1], latch)
        case pygame.JOYAXISMOTION if event.axis == 0:
            _move_along(("stick", event.instance_id, "x"), event.value, Button.LEFT, Button.RIGHT, latch)
        case pygame.JOYAXISMOTION if event.axis == 1:
            _move_along(("stick", event.instance_id, "y"), event.value, Button.UP, Button.DOWN, latch)
        case pygame.WINDOWFOCUSLOST | pygame.JOYDEVICEREMOVED:
            latch.release_all()
    return None


def _down(switch: Hashable, meaning: Meaning | None, latch: InputLatch) -> Command | WindowCommand | None:
    if isinstance(meaning, Button):
        latch.press(switch, meaning)
        return None
    return meaning


def _move(switch: tuple[Hashable, ...], right: float, down: float, latch: InputLatch) -> None:
    _move_along((*switch, "x"), right, Button.LEFT, Button.RIGHT, latch)
    _move_along((*switch, "y"), down, Button.UP, Button.DOWN, latch)


def _move_along(switch: Hashable, value: float, negative: Button, positive: Button, latch: InputLatch) -> None:
    if abs(value) < AXIS_THRESHOLD:
        latch.release(switch)
        return
    latch.press(switch, positive if value > 0 else negative)
