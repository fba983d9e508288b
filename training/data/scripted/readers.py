"""Reads balls and paddles from the frames of a game, also several of them.

Shapes: H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.scripted import breakout, pong

Position = tuple[float, float]
"""Row and column."""
Image = NDArray[np.uint8]
EDGE, SIDE = 6.0, 4.0
"""Pixels from the ball's exit, and from a side wall, within which it may be invisible in the next frame."""


@dataclass(frozen=True)
class Area:
    """A part of one channel of a frame, and the smallest level of an object."""

    rows: tuple[int, int]
    """First, and one past the last."""
    columns: tuple[int, int]
    """First, and one past the last."""
    level: float
    """Level of 256."""

    def spans(self, image: Image, axis: int) -> list[tuple[int, int]]:
        """First and one past the last row (or column) of each connected object in a channel ``(H, W)``.

        Counted from the first of the area. Corners connect."""
        part = image[slice(*self.rows), slice(*self.columns)] > self.level
        count, _, facts, _ = cv2.connectedComponentsWithStats(part.astype(np.uint8), connectivity=8)
        first, size = (
            (cv2.CC_STAT_TOP, cv2.CC_STAT_HEIGHT),
            (cv2.CC_STAT_LEFT, cv2.CC_STAT_WIDTH),
        )[axis]
        return [(int(fact[first]), int(fact[first] + fact[size])) for fact in facts[1:count]]

    def length(self, axis: int) -> int:
        """Rows (or columns)."""
        first, last = (self.rows, self.columns)[axis]
        return last - first


@dataclass(frozen=True)
class Reader:
    """Reads the frames of one game, uint8 ``(H, W, 3)``."""

    channel: int
    """Colour channel in which ball and paddle stand out."""
    find_ball: Callable[[Image], Position | None]
    """Finds the position of the ball in a channel."""
    field: Area
    """Area in which a ball is visible and nothing else moves."""
    paddle: Area
    """Area of the player's paddle."""
    along: int
    """Axis along which a paddle is longer than a ball: 0 rows, 1 columns."""
    paddle_length: int
    """Smallest length of a paddle in pixels."""
    across: int
    """Axis along which the ball leaves the field: 0 rows, 1 columns."""

    def ball(self, frame: Image) -> Position | None:
        """Position of the ball (the mean of several); None without a ball."""
        return self.find_ball(frame[..., self.channel])

    def track(self, frames: Image) -> NDArray[np.float64]:
        """Positions of the ball in frames ``(T, H, W, 3)``: rows and columns ``(T, 2)``, NaN without a ball."""
        return np.array([self.ball(frame) or (np.nan, np.nan) for frame in frames]).reshape(-1, 2)

    def balls(self, frame: Image) -> int:
        """Number of balls in the field."""
        return len(self.field.spans(frame[..., self.channel], 0))

    def paddles(self, frame: Image) -> int:
        """Number of paddles in the paddle's area. A passing ball does not count, a paddle half outside does."""
        end = self.paddle.length(self.along)
        spans = self.paddle.spans(frame[..., self.channel], self.along)
        return sum(last - first >= self.paddle_length or first == 0 or last == end for first, last in spans)

    def may_be_hidden(self, ball: Position, frames: int) -> bool:
        """Whether a ball last seen there may be invisible so many frames later.

        Behind bricks or outside it may be for any time, at a side wall for one frame."""
        edges = [(self.across, EDGE)] + ([(1 - self.across, SIDE)] if frames == 1 else [])
        for axis, margin in edges:
            low, high = (self.field.rows, self.field.columns)[axis]
            if not low + margin < ball[axis] < high - 1 - margin:
                return True
        return False


BREAKOUT = Reader(
    channel=breakout.BreakoutTracker.channel,
    find_ball=breakout.find_ball,
    field=Area(
        (breakout.FIELD_TOP, breakout.FIELD_BOTTOM), (breakout.LEFT_WALL, breakout.RIGHT_WALL), breakout.BALL_LEVEL
    ),
    paddle=Area(
        (breakout.PADDLE_ROW, breakout.PADDLE_ROW + 1),
        (breakout.LEFT_WALL, breakout.RIGHT_WALL),
        breakout.PADDLE_LEVEL,
    ),
    along=1,
    paddle_length=3,
    across=0,
)
PONG = Reader(
    channel=pong.PongTracker.channel,
    find_ball=pong.find_ball,
    field=Area((pong.TOP, pong.BOTTOM), pong.BALL_COLUMNS, pong.LEVEL),
    paddle=Area((pong.TOP, pong.BOTTOM), pong.PADDLE_COLUMNS, pong.LEVEL),
    along=0,
    paddle_length=4,
    across=1,
)
READERS = {"Breakout": BREAKOUT, "Pong": PONG}
"""Readers by game."""
