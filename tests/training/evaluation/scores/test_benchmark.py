"""The facts of the paper that come with the package."""

import pytest

from diamond_engine.games import ATARI_GAMES
from training.evaluation.scores.benchmark import DIAMOND, paper_scores, published_runs, table1


def test_all_games_of_the_benchmark_are_in_the_table() -> None:
    assert table1().keys() == paper_scores().keys() == ATARI_GAMES.keys()
    methods = {tuple(row.published) for row in table1().values()}
    assert methods == {("SimPLe", "TWM", "IRIS", "DreamerV3", "STORM", DIAMOND)}


def test_known_runs_have_the_means_of_the_table() -> None:
    assert published_runs().keys() == {DIAMOND, "IRIS", "SimPLe"}
    for method, games in published_runs().items():
        for game, runs in games.items():
            assert runs.shape == (5,)
            assert runs.mean() == pytest.approx(table1()[game].published[method], abs=0.06)


def test_human_normalised_scores() -> None:
    breakout = table1()["Breakout"]
    assert breakout.normalise(1.7) == 0
    assert breakout.normalise(30.5) == 1
    assert breakout.normalise(132.5) == pytest.approx(4.542, abs=1e-3)
