"""The scripted policy of Pong.

Shapes: H height, W width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diamond_engine.games import Button, atari_game
from training.data.scripted.geometry import centre_above, reflected
from training.data.scripted.tracker import Tracker

TOP, BOTTOM = 11, 59
"""First and one past the last row between the white bars."""
BALL_COLUMNS = (9, 55)
"""First and one past the last column between the paddles, where only the ball moves."""
PADDLE_COLUMNS = (55, 59)
"""Columns of the player's own paddle, on the right."""
LEVEL = 50
"""Smallest blue level of ball and paddles; the field is brown."""
CENTRE = (TOP + BOTTOM - 1) / 2


class PongTracker(Tracker):
    """Plays Pong by moving the paddle to where the ball will arrive, read from the pixels.

    ``spread`` rows of random aim per approach of the ball make the paddle return it with all its parts, so that games
    differ.
    """

    channel, coast, dead_band = 2, 6.0, 2.5  # the paddle is about 9 high

    def __init__(self, seed: int = 0, spread: float = 0.0) -> None:
        super().__init__(seed, spread)
        game = atari_game("Pong")
        self.noop, self.up, self.down = game.action(()), game.action((Button.RIGHT,)), game.action((Button.LEFT,))

    def _choose(self, i: int, image: NDArray[np.uint8]) -> int:
        before, ball = self._balls[i], find_ball(image)
        self._balls[i] = ball
        target = landing_row(before, ball)
        if target is None:
            self._aim_anew(i)
            target = CENTRE
        return (self.noop, self.down, self.up)[self._push(i, target, paddle_row(image))]


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
