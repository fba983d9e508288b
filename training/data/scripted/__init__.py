"""Scripted policies play well before any trained policy does: for data sets and to kickstart an agent."""

from __future__ import annotations

from collections.abc import Callable

from diamond_engine.agents import Policy
from diamond_engine.errors import UsageError
from diamond_engine.games import Game
from training.data.scripted.breakout import BreakoutTracker
from training.data.scripted.pong import PongTracker

TRACKER = "tracker"
"""Name of the scripted policy on the command line."""

TRACKERS: dict[str, Callable[[int, float], Policy]] = {"Breakout": BreakoutTracker, "Pong": PongTracker}
"""Makes a scripted policy from a seed and the spread of its aim in pixels."""


def scripted_policy(game: Game, seed: int, spread: float) -> Policy:
    """The scripted policy of a game. Raises ``UsageError`` for a game that has none."""
    if game.name not in TRACKERS:
        raise UsageError(f"there is no scripted player of {game.name}, only of {' and '.join(TRACKERS)}")
    return TRACKERS[game.name](seed, spread)


__all__ = ["TRACKER", "TRACKERS", "BreakoutTracker", "PongTracker", "scripted_policy"]
