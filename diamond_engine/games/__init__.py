"""Games, and the one place that reads their names."""

from diamond_engine.games.atari import ATARI_GAMES, atari_game, benchmark_game
from diamond_engine.games.first_person import FIRST_PERSON_GAMES, first_person_game
from diamond_engine.games.game import Button, Game
from diamond_engine.games.names import described_game, emulated_game, game_named

__all__ = [
    "ATARI_GAMES",
    "FIRST_PERSON_GAMES",
    "Button",
    "Game",
    "atari_game",
    "benchmark_game",
    "described_game",
    "emulated_game",
    "first_person_game",
    "game_named",
]
