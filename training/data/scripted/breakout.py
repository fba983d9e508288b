"""The scripted policy of Breakout.

Shapes: H height, W width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diamond_engine.games import Button, atari_game
from training.data.scripted.geometry import centre_above, reflected
from training.data.scripted.tracker import Tracker

FIELD_TOP, FIELD_BOTTOM = 29, 57
"""Rows between the lowest bricks and the paddle, where only the ball moves."""
PADDLE_ROW = 58
LEFT_WALL, RIGHT_WALL = 4, 60
"""First and one past the last column between the side walls."""
BALL_LEVEL, PADDLE_LEVEL = 60, 100
"""Smallest red level of a ball or paddle; the field is black."""


class BreakoutTracker(Tracker):
    """Plays Breakout by moving the paddle to where the ball will come down, read from the pixels.

    ``spread`` columns of random aim per descent make it hit the ball with all parts of the paddle: games differ.
    """

    channel, coast, dead_band = 0, 4.5, 3.8  # one push moves the paddle by about 8

    def __init__(self, seed: int = 0, spread: float = 0.0) -> None:
        super().__init__(seed, spread)
        game = atari_game("Breakout")
        self.noop, self.fire = game.action(()), game.action((Button.FIRE,))
        self.left, self.right = game.action((Button.LEFT,)), game.action((Button.RIGHT,))

    def _choose(self, i: int, image: NDArray[np.uint8]) -> int:
        before, ball = self._balls[i], find_ball(image)
        self._balls[i] = ball
        if ball is None:
            self._aim_anew(i)
            return self.fire if before is None else self.noop
        push = self._push(i, landing_column(before, ball), paddle_column(image))
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
