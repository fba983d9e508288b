"""The scripted player of Pong.

Shapes: B games, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.actions import Button, atari_game
from diamond_engine.frames import to_uint8
from training.teachers.geometry import centre_above, reflected

TOP, BOTTOM = 11, 59
"""First and one past the last row between the white bars."""
BALL_COLUMNS = (9, 55)
"""First and one past the last column between the paddles, where the ball is the only thing that moves."""
PADDLE_COLUMNS = (55, 59)
"""Columns of the player's own paddle, on the right."""
LEVEL = 50
"""Blue level that tells ball and paddles from the brown field."""
COAST = 6.0
"""Rows the paddle still glides in the step after one in which it was pushed."""
DEAD_BAND = 2.5
"""Rows the paddle may be off its aim: it is about 9 high."""
CENTRE = (TOP + BOTTOM - 1) / 2


class PongTracker:
    """Plays Pong by moving the paddle to where the ball will arrive, read off the pixels.

    ``spread`` rows of random aim per approach of the ball make the paddle return it with all its parts, so that games
    take different courses.
    """

    def __init__(self, seed: int = 0, spread: float = 0.0) -> None:
        game = atari_game("Pong")
        self.noop, self.up, self.down = game.action(()), game.action((Button.RIGHT,)), game.action((Button.LEFT,))
        self.spread = spread
        self._rng = np.random.default_rng(seed)
        self._balls: list[tuple[float, float] | None] = []
        self._aims: list[float] = []
        self._glides: list[float] = []

    def act(self, obs: Tensor) -> Tensor:
        """Observations ``(B, C, H, W)`` in [-1, 1] → actions int64 ``(B,)``."""
        blue = to_uint8(obs).cpu().numpy()[..., 2]
        if len(self._balls) != len(blue):
            self._balls = [None] * len(blue)
            self._aims, self._glides = [0.0] * len(blue), [0.0] * len(blue)
        return torch.tensor([self._choose(i, image) for i, image in enumerate(blue)])

    def reset(self, mask: Tensor | None = None) -> None:
        """Forgets the ball of the games where mask ``(B,)`` holds (all by default)."""
        for i in range(len(self._balls)):
            if mask is None or bool(mask[i]):
                self._balls[i] = None

    def _choose(self, i: int, blue: NDArray[np.uint8]) -> int:
        before, ball = self._balls[i], find_ball(blue)
        self._balls[i] = ball
        target = landing_row(before, ball)
        if target is None:
            self._aims[i] = self._rng.uniform(-self.spread, self.spread)
            target = CENTRE
        offset = target + self._aims[i] - (paddle_row(blue) + self._glides[i])
        push = 0 if abs(offset) <= DEAD_BAND else 1 if offset > 0 else -1
        self._glides[i] = push * COAST
        return (self.noop, self.down, self.up)[push]


def find_ball(blue: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Row and column of the ball between the paddles, or None: blue channel ``(H, W)``."""
    return centre_above(blue, LEVEL, (TOP, BOTTOM), BALL_COLUMNS)


def paddle_row(blue: NDArray[np.uint8]) -> float:
    """Centre row of the player's paddle: blue channel ``(H, W)``."""
    paddle = centre_above(blue, LEVEL, (TOP, BOTTOM), PADDLE_COLUMNS)
    return CENTRE if paddle is None else paddle[0]


def landing_row(before: tuple[float, float] | None, ball: tuple[float, float] | None) -> float | None:
    """Row at which an approaching ball reaches the paddle, bouncing off the bars; None while none approaches."""
    if before is None or ball is None or ball[1] <= before[1]:
        return None
    slope = (ball[0] - before[0]) / (ball[1] - before[1])
    return reflected(ball[0] + slope * (PADDLE_COLUMNS[0] - ball[1]), TOP, BOTTOM - 1)
