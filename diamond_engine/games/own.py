"""A game of a person's own, as its name and its actions."""

from __future__ import annotations

from collections.abc import Sequence

from diamond_engine.games.game import Buttons, Game

PREFIX = "gym:"
"""Before the id of its Gymnasium environment."""


def own_game(name: str, actions: Sequence[str], buttons: Sequence[Buttons]) -> Game:
    """The game, with what is held for each of its actions."""
    return Game(name, tuple(actions), tuple(buttons), name, name, name.removeprefix(PREFIX), own=True)
