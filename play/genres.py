"""Genres of worlds: what commands and window must know before a world is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from diamond_engine.actions import atari_game
from diamond_engine.errors import UsageError
from play.actions import ActionSpace, AtariActions, FirstPersonActions
from play.bindings import Keymap
from play.keymaps import DOOM, FIRST_PERSON, JOYSTICK
from play.view import Origin

ATARI = "atari/"
BESIDE_GAP = 2
"""Black pixels between a dream and the real game beside it."""


@dataclass(frozen=True)
class Genre:
    """One kind of world."""

    title: str
    """Name of the game."""
    keymap: Keymap
    """The bindings."""
    actions: ActionSpace
    """The action space."""
    frame_size: tuple[int, int]
    """Width and height of a frame in pixels."""
    scale: int
    """Enlargement of a frame when the window opens."""
    frame_rate: float
    """Frame rate of its videos; play is paced by the world's own rate."""
    horizon_step: int
    """Steps that one key press adds to or takes from the horizon of dreams."""


def genre_of(world: str) -> Genre:
    """The genre of a world by name, such as ``csgo``. Raises ``UsageError`` for an unknown one."""
    if world.startswith(ATARI):
        game = atari_game(world.removeprefix(ATARI))
        return Genre(game.name, JOYSTICK, AtariActions(game), (64, 64), 10, 15.0, 5)
    if world in FIRST_PERSON_WORLDS:
        title, frame_rate, keymap = FIRST_PERSON_WORLDS[world]
        return Genre(title, keymap, FirstPersonActions(), (280, 150), 3, frame_rate, 100)
    raise UsageError(f"unknown world {world!r}: 'diamond-play list' shows those there are")


def shown_from(genre: Genre, origin: Origin) -> Genre:
    """The genre with the frame size of a source: two games side by side need a wider window."""
    if origin is not Origin.BESIDE:
        return genre
    width, height = genre.frame_size
    return replace(genre, frame_size=(2 * width + BESIDE_GAP, height), scale=genre.scale * 3 // 5)


FIRST_PERSON_WORLDS = {"csgo": ("CS:GO", 16.0, FIRST_PERSON), "doom": ("Doom", 17.5, DOOM)}
"""Title, frame rate and keymap of the first-person worlds."""


def file_name(world: str) -> str:
    """Base name of files made from a world: ``Breakout`` for ``atari/Breakout``."""
    return world.rpartition("/")[2]
