"""Suites of runs: reading what they scored, measuring it against the paper."""

import json
from pathlib import Path

import pytest

from diamond_engine.errors import DiamondError
from training.evaluation.reports.plots import write_plots
from training.evaluation.scores.benchmark import DIAMOND, paper_scores
from training.evaluation.scores.suite import measure_suite, read_suite


def finish(folder: Path, game: str, seed: int, scores: list[float]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    final = {"game": game, "seed": seed, "scores": scores, "mean": sum(scores) / len(scores)}
    (folder / "final.json").write_text(json.dumps(final))


def test_runs_are_found_at_any_depth_and_unfinished_ones_are_listed(tmp_path: Path) -> None:
    finish(tmp_path / "Pong" / "1", "Pong", 1, [20.0, 21.0])
    finish(tmp_path / "Pong" / "0", "Pong", 0, [10.0])
    finish(tmp_path / "Alien-0", "Alien", 0, [500.0])
    finish(tmp_path / "Alien-0" / "inner", "Pong", 7, [0.0])
    (tmp_path / "Boxing-0").mkdir()
    (tmp_path / "Boxing-0" / "config.yaml").write_text("")
    (tmp_path / "notes").mkdir()
    suite = read_suite(tmp_path)
    assert {game: scores.tolist() for game, scores in suite.scores.items()} == {"Alien": [500], "Pong": [10, 20.5]}
    assert suite.unfinished == [tmp_path / "Boxing-0"]


def test_scores_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"Pong": [19.3, 20], "Alien": [1]}))
    assert {game: scores.tolist() for game, scores in read_suite(path).scores.items()} == {
        "Alien": [1],
        "Pong": [19.3, 20],
    }


def test_nothing_finished_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DiamondError, match="no runs"):
        read_suite(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(DiamondError, match=r"only unfinished runs \(1\): a finished one has a final\.json"):
        read_suite(tmp_path)
    with pytest.raises(DiamondError, match="no such folder or file"):
        read_suite(tmp_path / "nowhere")


def test_two_runs_of_one_seed_are_an_error(tmp_path: Path) -> None:
    finish(tmp_path / "a", "Pong", 0, [1.0])
    finish(tmp_path / "b", "Pong", 0, [2.0])
    with pytest.raises(DiamondError, match="both Pong with seed 0"):
        read_suite(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"game": "Pong", "seed": 0, "scores": []}', '{"game": "Pong", "seed": 0, "scores": [NaN]}'],
)
def test_a_damaged_final_score_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "final.json").write_text(text)
    with pytest.raises(DiamondError, match=r"final\.json"):
        read_suite(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Pong": 3}', '{"Pong": ["high"]}', '{"Tetris": [1]}'])
def test_a_malformed_file_of_scores_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(DiamondError, match=r"scores\.json"):
        read_suite(path)


def test_columns_are_measured_on_the_games_that_have_runs(tmp_path: Path) -> None:
    paper = paper_scores()
    result = measure_suite({game: paper[game] for game in ("Boxing", "Pong")}, seed=0)
    assert result.aggregates["superhuman"].value == 2
    assert result.columns["STORM"]["mean"].value == pytest.approx(((79.7 - 0.1) / 12 + (11.3 + 20.7) / 35.3) / 2)
    assert result.columns["STORM"].keys() == {"mean", "median", "superhuman"}
    assert result.columns["STORM"]["mean"].low is None
    assert result.columns[DIAMOND].keys() == result.aggregates.keys()
    assert result.improvement[DIAMOND].value == 0.5
    assert result.columns["IRIS"].keys() == result.aggregates.keys()
    assert result.columns["IRIS"]["iqm"].low is not None
    assert result.improvement["SimPLe"].value == pytest.approx(0.74)  # two of its runs play Pong perfectly
    assert result.profile[0].value == 1


def test_plots_are_drawn_also_for_one_run_below_random_play(tmp_path: Path) -> None:
    suite = measure_suite({"Pong": paper_scores()["Pong"][:1] - 100}, seed=0)
    paths = write_plots(tmp_path / "plots", suite)
    assert sorted(path.name for path in paths) == ["aggregates.png", "games.png", "improvement.png", "profile.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
