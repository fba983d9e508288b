"""Action spaces: what a player's buttons mean to a world."""

from diamond_engine.actions.atari import ATARI_GAMES, AtariGame, Button, atari_game

__all__ = ["ATARI_GAMES", "AtariGame", "Button", "atari_game"]
