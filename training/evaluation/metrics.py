"""Measures of dreamed frames and of predicted events, on plain arrays.

Shapes: N frames, H height, W width, T transitions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

WRONG_LEVELS = 16
"""A pixel is wrong if any channel is off by more than this many of the 256 levels."""
NORMAL_QUANTILE = 1.96
"""Standard deviations around the mean that contain 95 % of a normal distribution."""


def wrong_pixels(frames: Frames, real: Frames) -> int:
    """Number of wrong pixels in ``(N, H, W, 3)``."""
    off = np.abs(frames.astype(np.int16) - real.astype(np.int16)) > WRONG_LEVELS
    return int(off.any(axis=-1).sum())


def wrong_pixel_ratio(dreamed: Frames, real: Frames, repeated: Frames) -> float | None:
    """Wrong pixels of the dream over those of a repeated frame, each summed over all of ``(N, H, W, 3)``.

    0 is a perfect dream, 1 is as good as a still picture; None if the still picture has no wrong pixel.
    """
    baseline = wrong_pixels(repeated, real)
    return wrong_pixels(dreamed, real) / baseline if baseline else None


def psnr(frames: Frames, real: Frames) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each frame ``(N,)`` in dB; frames are ``(N, H, W, 3)``.

    Identical frames, whose ratio is infinite, count as if one value were off by one level (89 dB for 64×64 pixels).
    """
    error = (frames.astype(np.float64) - real.astype(np.float64)) ** 2
    values = error[0].size
    mean_square = np.maximum(error.reshape(len(error), values).mean(axis=1), 1 / values)
    return 10 * np.log10(255**2 / mean_square)


class PixelMoments:
    """Mean and standard deviation of every value of a stream of frames, from exact sums: no frame is kept."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: NDArray[np.float64] | float = 0.0
        self._sum_of_squares: NDArray[np.float64] | float = 0.0

    def add(self, frames: Frames) -> None:
        """Adds frames ``(N, H, W, 3)``."""
        values = frames.astype(np.float64)
        self.count += len(frames)
        self._sum = self._sum + values.sum(axis=0)
        self._sum_of_squares = self._sum_of_squares + (values**2).sum(axis=0)

    @property
    def mean(self) -> NDArray[np.float64]:
        """``(H, W, 3)``, levels of 256."""
        return np.asarray(self._sum / self.count)

    @property
    def std(self) -> NDArray[np.float64]:
        """``(H, W, 3)``, levels of 256."""
        return np.sqrt(np.maximum(self._sum_of_squares / self.count - self.mean**2, 0))

    def distance(self, other: PixelMoments) -> float:
        """√mean((μ − μ')² + (σ − σ')²) over all values, levels of 256; 0 for equal moments.

        The Fréchet distance between two normal distributions with independent values, over the root of their number.
        """
        return float(np.sqrt(((self.mean - other.mean) ** 2 + (self.std - other.std) ** 2).mean()))


def sharpness(frames: Frames, where: NDArray[np.bool_]) -> float:
    """Sum of the absolute differences between neighbouring pixels of frames ``(N, H, W, 3)``, levels of 256.

    Only pixels ``where`` ``(N, H, W)``, each against its neighbours to the right and below.
    """
    values = frames.astype(np.float64)
    right = np.abs(np.diff(values, axis=2)).sum(axis=-1)[where[:, :, :-1]]
    below = np.abs(np.diff(values, axis=1)).sum(axis=-1)[where[:, :-1]]
    return float(right.sum() + below.sum())


def gradient_energy(frames: Frames) -> float:
    """Mean square of the differences between neighbouring pixels of frames ``(N, H, W, 3)``, right and below."""
    values = frames.astype(np.float64)
    return float((np.diff(values, axis=2) ** 2).mean() + (np.diff(values, axis=1) ** 2).mean())


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Spearman's correlation of two lists of numbers ``(N,)``; None if they are empty or one is constant."""
    ranks = np.stack([_ranks(first), _ranks(second)])
    ranks -= ranks.mean(axis=1, keepdims=True) if len(first) else 0
    norm = float(np.sqrt((ranks**2).sum(axis=1).prod()))
    return float((ranks[0] * ranks[1]).sum()) / norm if norm else None


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks ``(N,)``; equal numbers share the mean of theirs."""
    less = (values[None] < values[:, None]).sum(axis=1)
    equal = (values[None] == values[:, None]).sum(axis=1)
    return less + (equal - 1) / 2


@dataclass(frozen=True)
class Share:
    """A count out of n."""

    hits: int
    """The count."""
    n: int
    """The total."""

    @property
    def value(self) -> float | None:
        """The share; None if n is 0."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval for n independent trials; None if n is 0."""
        if not self.n:
            return None
        share, square = self.hits / self.n, NORMAL_QUANTILE**2
        middle = (share + square / (2 * self.n)) / (1 + square / self.n)
        spread = math.sqrt(share * (1 - share) / self.n + square / (4 * self.n**2)) / (1 + square / self.n)
        return max(0.0, middle - NORMAL_QUANTILE * spread), min(1.0, middle + NORMAL_QUANTILE * spread)


@dataclass(frozen=True)
class Detection:
    """Prediction of rare events. A hit names the right event: predicting −1 where +1 came is no hit."""

    hits: int
    """Number of events predicted correctly."""
    predicted: int
    """Number of predicted events."""
    events: int
    """Number of events that happened."""

    @classmethod
    def count(cls, predicted: NDArray[np.integer], real: NDArray[np.integer]) -> Detection:
        """Counts from labels ``(T,)``; 0 means no event."""
        hits = (predicted == real) & (real != 0)
        return cls(int(hits.sum()), int((predicted != 0).sum()), int((real != 0).sum()))

    @property
    def precision(self) -> float | None:
        """Share of the predicted events that happened; None without predictions."""
        return self.hits / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Share of the events that were predicted; None without events."""
        return self.hits / self.events if self.events else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None without predictions and events."""
        total = self.predicted + self.events
        return 2 * self.hits / total if total else None
