"""What a game is to a world: the size and rate of its frames, its actions, what a person presses for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from diamond_engine.actions import KeyMap
from diamond_engine.errors import UsageError


class Button(StrEnum):
    """The five buttons of a joystick; games that need more have keys of the keyboard, by name, such as ``1``."""

    UP = "UP"
    DOWN = "DOWN"
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    FIRE = "FIRE"


Buttons = frozenset[str]
OPPOSITES = ((Button.UP, Button.DOWN), (Button.LEFT, Button.RIGHT))
RANKS = (Button.LEFT, Button.RIGHT, Button.UP, Button.DOWN)
"""Of as many buttons, these are rather kept than others, the first ones first."""


@dataclass(frozen=True)
class Game:
    """One game."""

    name: str
    """Such as ``MsPacman``, ``csgo`` or ``gym:CartPole-v1``; what ``game_named`` finds it by."""
    actions: tuple[str, ...]
    """Names of the actions; an action is an index into this, or, with ``vectors``, an entry for each."""
    buttons: tuple[Buttons, ...] = ()
    """What a person holds for each of the actions; nothing in the idle one. Empty with ``vectors``."""
    emulator: str = ""
    """Where it can be played for real: ``ale:`` and a ROM, ``gym:`` and an id; empty where it is only recorded."""
    world: str = ""
    """Name of the worlds that dream it, such as ``atari/MsPacman``."""
    title: str = ""
    """Name for a person."""
    frame_height: int = 64
    """Pixels of a frame."""
    frame_width: int = 64
    """Pixels of a frame."""
    frame_rate: float = 15.0
    """Frames a second at its natural speed."""
    key_map: KeyMap | None = None
    """What the entries of an action are, if it is a vector of zeros and ones; None: it is an index."""
    judged: bool = True
    """Whether it has rewards and ends."""
    own: bool = False
    """Whether it is a person's own: then its worlds say what its actions are."""

    @cached_property
    def idle(self) -> int:
        """The action with hands off: the first without buttons."""
        return self.buttons.index(frozenset()) if frozenset() in self.buttons else 0

    def action(self, pressed: Iterable[str]) -> int:
        """The action closest to a set of pressed buttons.

        Opposite directions cancel. Where the game lacks the exact combination, as many buttons as possible are
        kept, directions before others, horizontal before vertical.
        """
        held = set(pressed)
        for pair in OPPOSITES:
            if held.issuperset(pair):
                held.difference_update(pair)
        fitting = [i for i, buttons in enumerate(self.buttons) if buttons and buttons <= held]
        return max(fitting, key=lambda i: _rank(self.buttons[i]), default=self.idle)

    @property
    def vectors(self) -> bool:
        """Whether an action is a vector of zeros and ones, which networks take by a linear map; else by a table."""
        return self.key_map is not None

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action: () for an index, (A,) for a vector of zeros and ones."""
        return (len(self.actions),) if self.vectors else ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a keyboard that are held for actions, beside the buttons of a joystick."""
        held = dict.fromkeys(button for buttons in self.buttons for button in sorted(buttons))
        return tuple(button for button in held if len(button) == 1)

    def sized(self, side: int) -> Game:
        """The same in square frames of another size. Raises ``UsageError`` for one that no network takes."""
        if side % SIDES or not SIDES <= side <= LARGEST_SIDE:
            raise UsageError(f"frames are squares whose side is a multiple of {SIDES} up to {LARGEST_SIDE}, not {side}")
        return replace(self, frame_height=side, frame_width=side)

    def is_like(self, other: Game) -> bool:
        """Whether worlds and agents of one understand the other's actions."""
        return (self.name, self.actions) == (other.name, other.actions)

    @property
    def controls(self) -> dict[str, str]:
        """What is held for each action of a person's own game, such as ``{"stay": "", "jump left": "UP+LEFT"}``.

        Empty for games that are known by name.
        """
        own = zip(self.actions, self.buttons, strict=True) if self.own else ()
        return {name: "+".join(sorted(held)) for name, held in own}

    @property
    def file_name(self) -> str:
        """The name as a part of the names of files."""
        return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in self.name)


SIDES, LARGEST_SIDE = 16, 256
"""The networks halve frames up to four times."""


def _rank(buttons: Buttons) -> tuple[int, tuple[bool, ...]]:
    return len(buttons), tuple(button in buttons for button in RANKS)
