"""The scripted player of Breakout.

Shapes: B games, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.actions import Button, atari_game
from diamond_engine.frames import to_uint8
from training.teachers.geometry import centre_above, reflected

FIELD_TOP, FIELD_BOTTOM = 29, 57
"""Rows between the lowest bricks and the paddle, where the ball is the only thing that moves."""
PADDLE_ROW = 58
LEFT_WALL, RIGHT_WALL = 4, 60
"""First and one past the last column between the side walls."""
BALL_LEVEL, PADDLE_LEVEL = 60, 100
"""Red level that tells a ball or paddle from the black field."""
COAST = 4.5
"""Columns the paddle still glides in the step after one in which it was pushed."""
DEAD_BAND = 3.8
"""Columns the paddle may be off its aim: one push moves it by about 8."""


class BreakoutTracker:
    """Plays Breakout by moving the paddle to where the ball will come down, read off the pixels.

    ``spread`` columns of random aim per descent make it hit the ball with all parts of the paddle, so that games take
    different courses.
    """

    def __init__(self, seed: int = 0, spread: float = 0.0) -> None:
        game = atari_game("Breakout")
        self.noop, self.fire = game.action(()), game.action((Button.FIRE,))
        self.left, self.right = game.action((Button.LEFT,)), game.action((Button.RIGHT,))
        self.spread = spread
        self._rng = np.random.default_rng(seed)
        self._balls: list[tuple[float, float] | None] = []
        self._aims: list[float] = []
        self._glides: list[float] = []

    def act(self, obs: Tensor) -> Tensor:
        """Observations ``(B, C, H, W)`` in [-1, 1] → actions int64 ``(B,)``."""
        red = to_uint8(obs).cpu().numpy()[..., 0]
        if len(self._balls) != len(red):
            self._balls = [None] * len(red)
            self._aims, self._glides = [0.0] * len(red), [0.0] * len(red)
        return torch.tensor([self._choose(i, image) for i, image in enumerate(red)])

    def reset(self, mask: Tensor | None = None) -> None:
        """Forgets the ball of the games where mask ``(B,)`` holds (all by default)."""
        for i in range(len(self._balls)):
            if mask is None or bool(mask[i]):
                self._balls[i] = None

    def _choose(self, i: int, red: NDArray[np.uint8]) -> int:
        before, ball = self._balls[i], find_ball(red)
        self._balls[i] = ball
        if ball is None:
            self._aims[i] = self._rng.uniform(-self.spread, self.spread)
            return self.fire if before is None else self.noop
        target = landing_column(before, ball) + self._aims[i]
        offset = target - (paddle_column(red) + self._glides[i])
        push = 0 if abs(offset) <= DEAD_BAND else 1 if offset > 0 else -1
        self._glides[i] = push * COAST
        return (self.noop, self.right, self.left)[push]


def find_ball(red: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Row and column of the ball in the field below the bricks, or None: red channel ``(H, W)``."""
    return centre_above(red, BALL_LEVEL, (FIELD_TOP, FIELD_BOTTOM), (LEFT_WALL, RIGHT_WALL))


def paddle_column(red: NDArray[np.uint8]) -> float:
    """Centre column of the paddle: red channel ``(H, W)``."""
    columns = np.flatnonzero(red[PADDLE_ROW, LEFT_WALL:RIGHT_WALL] > PADDLE_LEVEL)
    return LEFT_WALL + float(columns.mean()) if len(columns) else (LEFT_WALL + RIGHT_WALL) / 2


def landing_column(before: tuple[float, float] | None, ball: tuple[float, float]) -> float:
    """Column at which a falling ball reaches the paddle, bouncing off the side walls; its own column while it rises."""
    row, column = ball
    if before is None or row <= before[0]:
        return column
    slope = (column - before[1]) / (row - before[0])
    return reflected(column + slope * (PADDLE_ROW - row), LEFT_WALL, RIGHT_WALL - 1)
