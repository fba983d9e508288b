"""Genres of worlds: what commands and window must know before a world is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from diamond_engine.games import Game
from play.actions import ActionSpace, ButtonActions, FirstPersonActions
from play.bindings import Keymap
from play.keymaps import first_person_keys, joystick_of
from play.view import Origin

WINDOW_WIDTH = 640
"""Pixels of a window of one's own game as it opens, at most."""
FIRST_PERSON_WIDTH = 840
"""The same of a first-person game."""
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


def genre_of(game: Game) -> Genre:
    """What kind of game this is."""
    size = game.frame_width, game.frame_height
    if game.key_map is not None:
        keymap, actions = first_person_keys(game, game.key_map), FirstPersonActions(game.key_map)
        scale = max(1, FIRST_PERSON_WIDTH // game.frame_width)
        return Genre(game.title, keymap, actions, size, scale, game.frame_rate, 100)
    scale = max(1, WINDOW_WIDTH // game.frame_width)
    return Genre(game.title, joystick_of(game), ButtonActions(game), size, scale, game.frame_rate, 5)


def shown_from(genre: Genre, origin: Origin) -> Genre:
    """The genre with the frame size of a source: two games side by side need a wider window."""
    if origin is not Origin.BESIDE:
        return genre
    width, height = genre.frame_size
    return replace(genre, frame_size=(2 * width + BESIDE_GAP, height), scale=genre.scale * 3 // 5)


def file_name(world: str) -> str:
    """Base name of files made from a world: ``Breakout`` for ``atari/Breakout``."""
    return world.rpartition("/")[2].replace(":", "-")
