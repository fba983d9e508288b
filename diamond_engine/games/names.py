"""From a name to a game."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium

from diamond_engine.actions import KeyMap, csgo
from diamond_engine.errors import UsageError
from diamond_engine.games.atari import atari_game
from diamond_engine.games.first_person import FIRST_PERSON_GAMES, first_person_game
from diamond_engine.games.game import Game
from diamond_engine.games.own import PREFIX, own_game

ATARI = "atari/"


def game_named(name: str) -> Game:
    """The game meant by ``Breakout``, ``ALE/Breakout-v5``, ``csgo``, ``gym:CartPole-v1`` or ``mine:Env-v0``.

    The name of a world, such as ``atari/Breakout``, means its game. Raises ``UsageError`` for an unknown one, and
    ``DiamondError`` where one's own cannot be made.
    """
    if name in FIRST_PERSON_GAMES:
        return FIRST_PERSON_GAMES[name]
    if ":" in name:
        from diamond_engine.games.gymnasium_games import described

        return described(name.removeprefix(PREFIX))[0]
    try:
        return atari_game(name.removeprefix(ATARI))
    except UsageError as error:
        if name in gymnasium.registry:
            raise UsageError(f"{name} is no Atari game: did you mean {PREFIX}{name}?") from error
        raise UsageError(f"{error} (an environment of Gymnasium is '{PREFIX}ID')") from error


def described_game(name: str | None, world: str, controls: Mapping[str, str], key_map: KeyMap | None = None) -> Game:
    """The game that a world says it dreams; ``controls`` are those of a person's own (``Game.controls``).

    Without a name it is one of the first person, of this key map (None: that of CS:GO). Raises as ``atari_game`` does.
    """
    if name is None:
        known = FIRST_PERSON_GAMES.get(world)
        if known is not None and key_map in (None, known.key_map):
            return known
        return first_person_game(world, key_map=key_map or csgo.KEY_MAP)
    if controls:
        held = (frozenset(filter(None, buttons.split("+"))) for buttons in controls.values())
        return own_game(name, tuple(controls), tuple(held))
    return atari_game(name)


def emulated_game(name: str) -> Game:
    """The same, of a game that can be played for real. Raises ``UsageError`` for others, too."""
    game = game_named(name)
    if not game.emulator:
        raise UsageError(f"{game.title} cannot be played here, only recorded: see docs/own-game.md")
    return game
