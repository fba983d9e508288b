"""Action spaces at play: what a person's input means to a world, and how an action reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from diamond_engine.actions import AtariGame, Button, CsgoAction, csgo
from play.latch import Input, Motion

Action = int | tuple[int, ...]
"""What a world is given each step: an index, or a vector of zeros and ones."""
LEFT_CLICK, RIGHT_CLICK = csgo.NAMES[csgo.LEFT_CLICK], csgo.NAMES[csgo.RIGHT_CLICK]


@dataclass(frozen=True)
class Gesture:
    """An action as a person sees it."""

    words: str
    """In one line."""
    pressed: frozenset[str] = frozenset()
    """The buttons that are down in it."""
    motion: Motion = (0.0, 0.0)
    """How far it turns the view, to the right and down."""


class ActionSpace(Protocol):
    """The actions of one kind of world."""

    idle: Action
    """Hands off."""

    def action(self, given: Input) -> Action:
        """The action closest to what a person does."""
        ...

    def gesture(self, action: Action) -> Gesture:
        """What an action shows."""
        ...

    def holds(self, action: Action) -> bool:
        """Whether this is an action of the space."""
        ...


class AtariActions:
    """The minimal action set of a game, as indices."""

    idle: Action = 0

    def __init__(self, game: AtariGame) -> None:
        self.game = game

    def action(self, given: Input) -> Action:
        """See ``ActionSpace.action``."""
        return self.game.action(Button(name) for name in given.pressed)

    def gesture(self, action: Action) -> Gesture:
        """See ``ActionSpace.gesture``; the words are the emulator's."""
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
        """See ``ActionSpace.gesture``; the motion is what was left of the mouse's, the bin that the world is given."""
        done = csgo.decode(np.array(action))
        clicks = ((LEFT_CLICK, done.left_click), (RIGHT_CLICK, done.right_click))
        pressed = (*done.keys, *(name for name, down in clicks if down))
        motion = (done.mouse_x, done.mouse_y)
        turn = (f"mouse {done.mouse_x:+.0f} {done.mouse_y:+.0f}",) if any(motion) else ()
        return Gesture(", ".join((*pressed, *turn)) or "nothing", frozenset(pressed), motion)

    def holds(self, action: Action) -> bool:
        """See ``ActionSpace.holds``."""
        return isinstance(action, tuple) and len(action) == csgo.NUM_ACTIONS and set(action) <= {0, 1}
