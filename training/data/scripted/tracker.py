"""The common part of scripted policies: each game's ball, aim and glide, and pushes toward the aim.

Shapes: B games, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.frames import to_uint8


class Tracker(ABC):
    """Reads one colour channel of the frames and moves a paddle along its line. A game's subclass chooses the aim."""

    channel: int
    """Colour channel in which the ball and the paddle stand out."""
    coast: float
    """Pixels that the paddle still glides in the step after a push."""
    dead_band: float
    """Pixels the paddle may be off its aim."""

    def __init__(self, seed: int, spread: float) -> None:
        self.spread = spread
        self._rng = np.random.default_rng(seed)
        self._balls: list[tuple[float, float] | None] = []
        self._aims: list[float] = []
        self._glides: list[float] = []

    def act(self, obs: Tensor) -> Tensor:
        """Observations ``(B, C, H, W)`` in [-1, 1] → actions int64 ``(B,)``."""
        images = to_uint8(obs).cpu().numpy()[..., self.channel]
        if len(self._balls) != len(images):
            self._balls = [None] * len(images)
            self._aims, self._glides = [0.0] * len(images), [0.0] * len(images)
        return torch.tensor([self._choose(i, image) for i, image in enumerate(images)])

    def reset(self, mask: Tensor | None = None) -> None:
        """Forgets the ball of the games where mask ``(B,)`` holds (all by default)."""
        for i in range(len(self._balls)):
            if mask is None or bool(mask[i]):
                self._balls[i] = None

    @abstractmethod
    def _choose(self, i: int, image: NDArray[np.uint8]) -> int:
        """The action in game i, given its channel ``(H, W)``."""

    def _aim_anew(self, i: int) -> None:
        self._aims[i] = self._rng.uniform(-self.spread, self.spread)

    def _push(self, i: int, target: float, paddle: float) -> int:
        """1 or -1 to push the paddle of game i up or down the axis, 0 to leave it."""
        offset = target + self._aims[i] - (paddle + self._glides[i])
        push = 0 if abs(offset) <= self.dead_band else 1 if offset > 0 else -1
        self._glides[i] = push * self.coast
        return push
