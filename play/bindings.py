"""How keys and gamepad controls get their meaning: the tables that F1 shows, and the translation of events."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property

import pygame

from play.latch import InputLatch
from play.view import Command

AXIS_THRESHOLD = 0.5
STICK_X, STICK_Y, LEFT_TRIGGER, LOOK_X, LOOK_Y, RIGHT_TRIGGER = range(6)
"""Axes of a gamepad, as SDL counts them on an Xbox pad."""
TRIGGER_THRESHOLD = 0.0
"""Half way: a trigger rests at -1."""
LOOK_DEAD_ZONE = 0.15
LOOK_MOTION = (60.0, 50.0)
"""Mouse counts a step, right and down, of a look stick held all the way: those of the arrow keys."""


class WindowCommand(Enum):
    """What can be asked of the window itself."""

    HELP = auto()
    INSET = auto()
    FULL_SCREEN = auto()
    MORE_SENSITIVE = auto()
    LESS_SENSITIVE = auto()
    LEAVE = auto()


Meaning = str | Command | WindowCommand
"""A button of the action space, or a command."""


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
    """Arrow keys that mean this only while no person is moving: paused, or while another plays."""


@dataclass(frozen=True)
class Directions:
    """What the sides of a stick or cross stand for; "" for nothing."""

    left: str
    right: str
    up: str
    down: str


@dataclass(frozen=True)
class Keycap:
    """A key in the picture of the keyboard under the game; all in units of a key's width."""

    button: str
    """What it stands for."""
    label: str
    """What is written on it."""
    left: float
    """From the left."""
    top: float
    """From the top."""
    width: float = 1.0
    """How wide it is."""


@dataclass(frozen=True)
class Keymap:
    """Everything that a person can press, turn or click, and what it means."""

    bindings: tuple[Binding, ...]
    """The lines of the help."""
    stick: Directions
    """The left stick."""
    cross: Directions
    """The cross."""
    triggers: Mapping[int, str] = field(default_factory=dict)
    """Axes of triggers and the buttons they stand for."""
    clicks: Mapping[int, str] = field(default_factory=dict)
    """Mouse buttons and the buttons they stand for; where there are any, mouse and right stick turn the view."""
    keycaps: tuple[Keycap, ...] = ()
    """The picture of the keyboard under the game, where it has one."""

    @cached_property
    def keys(self) -> dict[int, Meaning]:
        """Meanings by key."""
        return {key: meaning for binding in self.bindings for key, meaning in binding.keys}

    @cached_property
    def arrow_controls(self) -> dict[int, Meaning]:
        """Meanings that arrow keys have only while no person is moving."""
        return {key: meaning for binding in self.bindings for key, meaning in binding.arrows}

    @cached_property
    def pad(self) -> dict[int, Meaning]:
        """Meanings by gamepad button."""
        return {button: meaning for binding in self.bindings for button, meaning in binding.pad}

    def translate(
        self, event: pygame.event.Event, latch: InputLatch, arrows_move: bool
    ) -> Command | WindowCommand | None:
        """Passes what a key or gamepad event presses or turns to the latch; returns the command it stands for, if any.

        ``arrows_move``: whether the arrow keys move now, or are the controls of horizon and source.
        """
        match event.type:
            case pygame.KEYDOWN:
                controls = self.keys if arrows_move else self.keys | self.arrow_controls
                return _down(("key", event.key), controls.get(event.key), latch)
            case pygame.KEYUP:
                latch.release(("key", event.key))
            case pygame.JOYBUTTONDOWN:
                return _down(("pad", event.instance_id, event.button), self.pad.get(event.button), latch)
            case pygame.JOYBUTTONUP:
                latch.release(("pad", event.instance_id, event.button))
            case pygame.JOYHATMOTION:
                switch = ("cross", event.instance_id, event.hat)
                _push((*switch, "x"), event.value[0], self.cross.left, self.cross.right, latch)
                _push((*switch, "y"), -event.value[1], self.cross.up, self.cross.down, latch)
            case pygame.JOYAXISMOTION:
                self._turn(("axis", event.instance_id, event.axis), event.axis, event.value, latch)
            case pygame.WINDOWFOCUSLOST | pygame.JOYDEVICEREMOVED:
                latch.release_all()
        return None

    def _turn(self, switch: Hashable, axis: int, value: float, latch: InputLatch) -> None:
        if axis == STICK_X:
            _push(switch, value, self.stick.left, self.stick.right, latch)
        elif axis == STICK_Y:
            _push(switch, value, self.stick.up, self.stick.down, latch)
        elif axis in self.triggers:
            _hold(switch, self.triggers[axis] if value > TRIGGER_THRESHOLD else "", latch)
        elif axis in (LOOK_X, LOOK_Y) and self.clicks:
            tilt = value if abs(value) > LOOK_DEAD_ZONE else 0.0
            right, down = LOOK_MOTION
            latch.tilt(switch, *((right * tilt, 0.0) if axis == LOOK_X else (0.0, down * tilt)))


def _down(switch: Hashable, meaning: Meaning | None, latch: InputLatch) -> Command | WindowCommand | None:
    if isinstance(meaning, str):
        latch.press(switch, meaning)
        return None
    return meaning


def _push(switch: Hashable, value: float, negative: str, positive: str, latch: InputLatch) -> None:
    _hold(switch, "" if abs(value) < AXIS_THRESHOLD else positive if value > 0 else negative, latch)


def _hold(switch: Hashable, button: str, latch: InputLatch) -> None:
    if button:
        latch.press(switch, button)
    else:
        latch.release(switch)
