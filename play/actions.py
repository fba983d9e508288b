"""Action spaces in play: from a person's input to an action, and from an action to words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from diamond_engine.actions import CsgoAction, csgo
from diamond_engine.games import Game
from play.latch import Input, Motion

Action = int | tuple[int, ...]
"""The action of a step: an index, or a vector of zeros and ones."""
LEFT_CLICK, RIGHT_CLICK = csgo.NAMES[csgo.LEFT_CLICK], csgo.NAMES[csgo.RIGHT_CLICK]


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

    def action(self, given: Input) -> Action:
        """The action closest to a person's input."""
        ...

    def gesture(self, action: Action) -> Gesture:
        """How to show an action."""
        ...

    def holds(self, action: Action) -> bool:
        """Whether this is an action of the space."""
        ...


class ButtonActions:
    """The actions of a game as indices, by the buttons that are held for them."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.idle: Action = game.idle

    def action(self, given: Input) -> Action:
        """See ``ActionSpace.action``."""
        return self.game.action(given.pressed)

    def gesture(self, action: Action) -> Gesture:
        """See ``ActionSpace.gesture``; the text is the game's name of the action."""
        assert isinstance(action, int)
        return Gesture(self.game.actions[action])

    def holds(self, action: Action) -> bool:
        """See ``ActionSpace.holds``."""
        return isinstance(action, int) and 0 <= action < len(self.game.actions)


class FirstPersonActions:
    """Keys, clicks and mouse motion as the 51 zeros and ones of ``diamond_engine.actions.csgo``."""

    idle: Action = tuple(csgo.encode(csgo.IDLE).tolist())

    def action(self, given: Input) -> Action:
        """See ``ActionSpace.action``."""
        keys = tuple(name for name in given.pressed if name not in (LEFT_CLICK, RIGHT_CLICK))
        clicks = (LEFT_CLICK in given.pressed, RIGHT_CLICK in given.pressed)
        return tuple(csgo.encode(CsgoAction(keys, *given.motion, *clicks)).tolist())

    def gesture(self, action: Action) -> Gesture:
        """See ``ActionSpace.gesture``; the motion is that of the bin that the world receives."""
        done = csgo.decode(np.array(action))
        clicks = ((LEFT_CLICK, done.left_click), (RIGHT_CLICK, done.right_click))
        pressed = (*done.keys, *(name for name, down in clicks if down))
        motion = (done.mouse_x, done.mouse_y)
        turn = (f"mouse {done.mouse_x:+.0f} {done.mouse_y:+.0f}",) if any(motion) else ()
        return Gesture(", ".join((*pressed, *turn)) or "nothing", frozenset(pressed), motion)

    def holds(self, action: Action) -> bool:
        """See ``ActionSpace.holds``."""
        return isinstance(action, tuple) and len(action) == csgo.NUM_ACTIONS and set(action) <= {0, 1}
