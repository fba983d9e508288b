"""Aggregates over games and seeds with stratified bootstrap intervals, as Agarwal et al. (2021) recommend.

Runs are human-normalised scores: one array ``(…, N)`` for each of G games, N its number of runs; every statistic
reduces them to ``(…,)``, so that it takes S resamples ``(S, N)`` at once. Games may differ in their number of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Runs = Sequence[Floats]
Statistic = Callable[[Runs], Floats]

TRIMMED = 0.25
"""Share of the runs that the interquartile mean drops at either end."""
CONFIDENCE = 0.95
RESAMPLES = 2000


def game_means(runs: Runs) -> Floats:
    """Mean score of every game ``(…, G)``."""
    return np.stack([game.mean(axis=-1) for game in runs], axis=-1)


def mean(runs: Runs) -> Floats:
    """Mean over the games of their mean scores."""
    return game_means(runs).mean(axis=-1)


def median(runs: Runs) -> Floats:
    """Median over the games of their mean scores."""
    return np.median(game_means(runs), axis=-1)


def interquartile_mean(runs: Runs) -> Floats:
    """Mean of the middle half of all runs of all games, each counted alike."""
    ordered = np.sort(np.concatenate(runs, axis=-1), axis=-1)
    cut = int(TRIMMED * ordered.shape[-1])
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def optimality_gap(runs: Runs) -> Floats:
    """Mean shortfall of all runs from a human score; more than human counts as human."""
    return (1 - np.minimum(np.concatenate(runs, axis=-1), 1)).mean(axis=-1)


def superhuman(runs: Runs) -> Floats:
    """Number of games whose mean score is above that of a human."""
    return (game_means(runs) > 1).sum(axis=-1).astype(np.float64)


OF_GAME_MEANS: dict[str, Statistic] = {"mean": mean, "median": median, "superhuman": superhuman}
"""Aggregates that the mean score of each game determines."""
AGGREGATES: dict[str, Statistic] = {
    "mean": mean,
    "median": median,
    "iqm": interquartile_mean,
    "optimality_gap": optimality_gap,
    "superhuman": superhuman,
}


def share_above(threshold: float) -> Statistic:
    """The performance profile at one threshold: share of the runs above it, games counted alike."""
    return lambda runs: np.stack([(game > threshold).mean(axis=-1) for game in runs], axis=-1).mean(axis=-1)


def probability_of_improvement(runs: Runs, others: Runs) -> Floats:
    """Chance that a run scores more than one of ``others`` on the same game, ties counted half, games alike."""
    return np.stack([_chance(mine, other) for mine, other in zip(runs, others, strict=True)], axis=-1).mean(axis=-1)


def _chance(mine: Floats, other: Floats) -> Floats:
    difference = mine[..., :, None] - other[..., None, :]
    return ((np.sign(difference) + 1) / 2).mean(axis=(-2, -1))


@dataclass(frozen=True)
class Estimate:
    """A statistic with its bootstrap interval."""

    value: float
    """Of all runs."""
    low: float | None
    """Lower end of the 95 % interval; None where no game has more than one run."""
    high: float | None
    """Upper end."""

    @classmethod
    def of(cls, value: Floats, resampled: Floats, known: bool = True) -> Estimate:
        """From the value ``()`` and the values of S resamples ``(S,)``; no interval where none is ``known``."""
        if not known:
            return cls(float(value), None, None)
        low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return cls(float(value), float(low), float(high))


class Bootstrap:
    """S resamples of runs, drawn with replacement within every game, the same ones for all statistics."""

    def __init__(self, runs: Runs, rng: np.random.Generator, resamples: int = RESAMPLES) -> None:
        self.runs = runs
        self.resampled = [game[rng.integers(len(game), size=(resamples, len(game)))] for game in runs]
        self.varies = any(len(game) > 1 for game in runs)

    def estimate(self, statistic: Statistic) -> Estimate:
        """A statistic of the runs."""
        return Estimate.of(statistic(self.runs), statistic(self.resampled), self.varies)

    def improvement_over(self, other: Bootstrap) -> Estimate:
        """``probability_of_improvement`` over other runs of the same games, both resampled."""
        return Estimate.of(
            probability_of_improvement(self.runs, other.runs),
            probability_of_improvement(self.resampled, other.resampled),
            self.varies or other.varies,
        )
