"""Action spaces: what a player's buttons mean to a world."""

from diamond_engine.actions import csgo
from diamond_engine.actions.atari import ATARI_GAMES, AtariGame, Button, atari_game
from diamond_engine.actions.csgo import CsgoAction

__all__ = ["ATARI_GAMES", "AtariGame", "Button", "CsgoAction", "atari_game", "csgo"]
