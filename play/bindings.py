"""Key and gamepad bindings: the tables that F1 shows, and the translation of events."""

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
"""Threshold of a trigger, half way: it rests at -1."""
LOOK_DEAD_ZONE = 0.15
LOOK_MOTION = (60.0, 50.0)
"""Mouse counts a step, right and down, of a fully tilted look stick: those of the arrow keys."""


class WindowCommand(Enum):
    """Commands to the window itself."""

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
    """One line of the help: controls with the same effect."""

    text: str
    """The effect, in words."""
    keys: tuple[tuple[int, Meaning], ...]
    """Keys (pygame constants) and their meanings."""
    shown: str
    """The keys, in words."""
    pad: tuple[tuple[int, Meaning], ...] = ()
    """Gamepad buttons (by number, as SDL counts them on an Xbox pad) and their meanings."""
    pad_shown: str = ""
    """The gamepad controls, in words."""
    arrows: tuple[tuple[int, Meaning], ...] = ()
    """Arrow keys with this meaning only while no person is moving: paused, or while an autopilot plays."""


@dataclass(frozen=True)
class Directions:
    """Meanings of the four directions of a stick or cross; "" for none."""

    left: str
    right: str
    up: str
    down: str


@dataclass(frozen=True)
class Keycap:
    """A key in the picture of the keyboard under the game, in units of a key's width."""

    button: str
    """Its meaning."""
    label: str
    """Its label."""
    left: float
    """Distance from the left."""
    top: float
    """Distance from the top."""
    width: float = 1.0
    """Width."""


@dataclass(frozen=True)
class Keymap:
    """All bindings of keyboard, mouse and gamepad."""

    bindings: tuple[Binding, ...]
    """The lines of the help."""
    stick: Directions
    """The left stick."""
    cross: Directions
    """The directional pad."""
    triggers: Mapping[int, str] = field(default_factory=dict)
    """Axes of triggers and the buttons they stand for."""
    clicks: Mapping[int, str] = field(default_factory=dict)
    """Mouse buttons and the buttons they stand for; if there are any, mouse and right stick turn the view."""
    keycaps: tuple[Keycap, ...] = ()
    """The picture of the keyboard under the game, if it has one."""

    @cached_property
    def keys(self) -> dict[int, Meaning]:
        """Meaning of each key."""
        return {key: meaning for binding in self.bindings for key, meaning in binding.keys}

    @cached_property
    def arrow_controls(self) -> dict[int, Meaning]:
        """Meanings of arrow keys while no person is moving."""
        return {key: meaning for binding in self.bindings for key, meaning in binding.arrows}

    @cached_property
    def pad(self) -> dict[int, Meaning]:
        """Meaning of each gamepad button."""
        return {button: meaning for binding in self.bindings for button, meaning in binding.pad}

    def translate(
        self, event: pygame.event.Event, latch: InputLatch, arrows_move: bool
    ) -> Command | WindowCommand | None:
        """Passes a key or gamepad event to the latch; returns the command it stands for, if any.

        ``arrows_move``: whether the arrow keys move now or control horizon and source.
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
