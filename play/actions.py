"""Action spaces in play: from a person's input to an action, and from an action to words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from diamond_engine.actions import HandAction, KeyMap, csgo
from diamond_engine.actions.key_map import IDLE, LEFT_CLICK, RIGHT_CLICK
from diamond_engine.games import Game
from play.latch import Input, Motion

Action = int | tuple[int, ...]
"""The action of a step: an index, or a vector of zeros and ones."""


@dataclass(frozen=True)
class Gesture:
    """An action as shown to a person."""

    words: str
    """The action in one line."""
    pressed: frozenset[str] = frozenset()
    """The buttons that are down."""
    motion: Motion = (0.0, 0.0)
    """The turn of the view, to the right and down."""


class ActionSpace(Protocol):
    """The action space of one kind of world."""

    idle: Action
    """The action without any input."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys that a page shows as buttons to touch, besides what a gamepad has."""
        ...

    def action(self, given: Input) -> Action:
        """The action closest to a person's input."""
        ...

    def gesture(self, action: Action) -> Gesture:
        """How to show an action."""
        ...

    def has(self, button: str) -> bool:
        """Whether a button has a meaning."""
        ...

    def holds(self, action: Action) -> bool:
        """Whether this is an action of the space."""
        ...


class ButtonActions:
    """The actions of a game as indices, by the buttons that are held for them."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.idle: Action = game.idle
        self.keys = game.keys

    def action(self, given: Input) -> Action:
        """See ``ActionSpace.action``."""
        return self.game.action(given.pressed)

    def gesture(self, action: Action) -> Gesture:
        """See ``ActionSpace.gesture``; the text is the game's name of the action."""
        assert isinstance(action, int)
        return Gesture(self.game.actions[action])

    def has(self, button: str) -> bool:
        """See ``ActionSpace.has``."""
        return any(button in held for held in self.game.buttons)

    def holds(self, action: Action) -> bool:
        """See ``ActionSpace.holds``."""
        return isinstance(action, int) and 0 <= action < len(self.game.actions)


class FirstPersonActions:
    """Keys, clicks and mouse motion as the zeros and ones of a key map."""

    def __init__(self, key_map: KeyMap = csgo.KEY_MAP) -> None:
        self.key_map = key_map
        self.idle: Action = tuple(key_map.encode(IDLE).tolist())
        self.keys = () if key_map == csgo.KEY_MAP else key_map.keys

    def action(self, given: Input) -> Action:
        """See ``ActionSpace.action``."""
        pressed = [name for name in given.pressed if self.has(name)]
        keys = tuple(name for name in pressed if name not in (LEFT_CLICK, RIGHT_CLICK))
        clicks = (LEFT_CLICK in pressed, RIGHT_CLICK in pressed)
        return tuple(self.key_map.encode(HandAction(keys, *given.motion, *clicks)).tolist())

    def gesture(self, action: Action) -> Gesture:
        """See ``ActionSpace.gesture``; the motion is that of the bin that the world receives."""
        done = self.key_map.decode(np.array(action))
        clicks = ((LEFT_CLICK, done.left_click), (RIGHT_CLICK, done.right_click))
        pressed = (*done.keys, *(name for name, down in clicks if down))
        motion = (done.mouse_x, done.mouse_y)
        turn = (f"mouse {done.mouse_x:+.0f} {done.mouse_y:+.0f}",) if any(motion) else ()
        return Gesture(", ".join((*pressed, *turn)) or "nothing", frozenset(pressed), motion)

    def has(self, button: str) -> bool:
        """See ``ActionSpace.has``."""
        known = self.key_map
        return button in known.keys or button in known.buttons or button in known.arrows

    def holds(self, action: Action) -> bool:
        """See ``ActionSpace.holds``."""
        return isinstance(action, tuple) and len(action) == self.key_map.size and set(action) <= {0, 1}
