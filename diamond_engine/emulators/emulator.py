"""Real games, batched: what every emulator does.

Shapes: B games side by side, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diamond_engine.errors import UsageError
from diamond_engine.games import Game


@dataclass(frozen=True)
class EmulatorStep:
    """Results of one action in each of B games."""

    frames: NDArray[np.uint8]
    """The frame to act on next, ``(B, H, W, 3)`` RGB: where a game ended, already the first frame of the next one."""
    successors: NDArray[np.uint8]
    """The frame the action led to, ``(B, H, W, 3)``: differs from ``frames`` only where a game ended.

    A finished Atari game shows no further screen, so this is then (nearly) the frame before it.
    """
    rewards: NDArray[np.float32]
    """Unclipped score change, ``(B,)``."""
    terminated: NDArray[np.bool_]
    """The episode ended, ``(B,)``: the game is over or, with ``end_on_life_loss``, a life was lost."""
    truncated: NDArray[np.bool_]
    """A limit of the game's own was reached, ``(B,)``; of Atari games 108,000 frames."""
    game_over: NDArray[np.bool_]
    """The whole game ended (and was started anew), ``(B,)``."""


class Emulator(Protocol):
    """B copies of one game, reset in the same step in which a game ends. Same seed and actions, same frames."""

    game: Game
    num_envs: int

    def reset(self, seed: int | None = None) -> NDArray[np.uint8]:
        """Starts every game anew (from ``seed`` + its index, if given) and returns the frames ``(B, H, W, 3)``."""
        ...

    def step(self, actions: NDArray[np.integer]) -> EmulatorStep:
        """Takes one action ``(B,)``, indices into ``game.actions``, in every game.

        Raises ``UsageError`` for actions that the game does not have.
        """
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


def check_actions(game: Game, count: int, actions: NDArray[np.integer]) -> None:
    """Raises ``UsageError`` unless these are ``count`` actions of a game."""
    if actions.shape != (count,) or actions.min() < 0 or actions.max() >= len(game.actions):
        raise UsageError(f"{game.name} takes {count} actions from 0 to {len(game.actions) - 1}, not {actions}")
