"""Aggregates on runs whose result is known."""

import numpy as np
import pytest

from training.evaluation.scores.aggregates import (
    AGGREGATES,
    Bootstrap,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    probability_of_improvement,
    share_above,
    superhuman,
)
from training.evaluation.scores.benchmark import paper_scores, table1

RUNS = [np.array([0.0, 4.0]), np.array([0.5, 0.7]), np.array([0.2, 0.2])]


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_the_papers_numbers_follow_from_its_runs() -> None:
    runs = [table1()[game].normalise(scores) for game, scores in paper_scores().items()]
    found = {name: round(float(statistic(runs)), 3) for name, statistic in AGGREGATES.items()}
    assert found == {"mean": 1.459, "median": 0.373, "iqm": 0.641, "optimality_gap": 0.480, "superhuman": 11}


def test_aggregates_of_known_runs() -> None:
    assert mean(RUNS) == pytest.approx((2 + 0.6 + 0.2) / 3)
    assert median(RUNS) == pytest.approx(0.6)
    assert interquartile_mean(RUNS) == pytest.approx((0.2 + 0.2 + 0.5 + 0.7) / 4)
    assert optimality_gap(RUNS) == pytest.approx((1 + 0 + 0.5 + 0.3 + 0.8 + 0.8) / 6)
    assert superhuman(RUNS) == 1
    assert share_above(0.5)(RUNS) == pytest.approx((0.5 + 0.5 + 0) / 3)


@pytest.mark.parametrize("name", AGGREGATES)
def test_resamples_are_reduced_one_by_one(name: str) -> None:
    uneven = [*RUNS, np.array([1.5])]
    resampled = Bootstrap(uneven, rng(), resamples=7).resampled
    each = [AGGREGATES[name]([game[i] for game in resampled]) for i in range(7)]
    np.testing.assert_allclose(AGGREGATES[name](resampled), each)


def test_the_bootstrap_draws_within_every_game() -> None:
    bootstrap = Bootstrap(RUNS, rng(), resamples=200)
    for game, resampled in zip(RUNS, bootstrap.resampled, strict=True):
        assert resampled.shape == (200, 2)
        assert set(np.unique(resampled)) == set(game)
    assert bootstrap.estimate(mean) == Bootstrap(RUNS, rng(), resamples=200).estimate(mean)


def test_intervals_hold_the_value_and_narrow_with_more_runs() -> None:
    few = Bootstrap([rng().normal(size=5)], rng()).estimate(mean)
    many = Bootstrap([rng().normal(size=500)], rng()).estimate(mean)
    assert few.low is not None
    assert few.high is not None
    assert few.low < few.value < few.high
    assert many.low is not None
    assert many.high is not None
    assert many.low < many.value < many.high
    assert many.high - many.low < (few.high - few.low) / 3


def test_one_run_a_game_has_no_interval() -> None:
    estimate = Bootstrap([np.array([0.3]), np.array([0.5])], rng()).estimate(mean)
    assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(0.4), None, None)


def test_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    others = [np.array([0.0, 1.0, 5.0]), np.array([0.1]), np.array([0.2])]
    expected = (2.5 / 6 + 1 + 0.5) / 3
    assert probability_of_improvement(RUNS, others) == pytest.approx(expected)
    assert probability_of_improvement(others, RUNS) == pytest.approx(1 - expected)
    estimate = Bootstrap(RUNS, rng()).improvement_over(Bootstrap(others, rng()))
    assert estimate.value == pytest.approx(expected)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= expected <= estimate.high
