"""A suite of runs, games × seeds, measured as the paper measures DIAMOND.

A finished run folder holds ``final.json``: ``{"game": str, "seed": int, "scores": [float, …], "mean": float}``, the
scores being those of the final games. A run folder without it (but with ``config.yaml``) is unfinished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diamond_engine.damage import reading
from diamond_engine.errors import DiamondError, UsageError
from training.evaluation.scores.aggregates import (
    AGGREGATES,
    OF_GAME_MEANS,
    Bootstrap,
    Estimate,
    Floats,
    Runs,
    share_above,
)
from training.evaluation.scores.benchmark import DIAMOND, paper_scores, published_runs, table1

FINAL = "final.json"
CONFIG = "config.yaml"
PROFILE_THRESHOLDS = tuple(i / 10 for i in range(81))
"""Human-normalised scores at which the performance profile is taken."""


@dataclass(frozen=True)
class SuiteScores:
    """What a suite has scored so far."""

    scores: dict[str, Floats]
    """Final score of every finished run ``(N,)``, by game, in the order of Table 1."""
    unfinished: list[Path]
    """Run folders without a final score."""


@dataclass(frozen=True)
class FinalScore:
    """What the ``final.json`` of a run says."""

    game: str
    """A game of the benchmark."""
    seed: int
    """Of the run."""
    score: float
    """Mean over its final games."""


def read_suite(path: Path) -> SuiteScores:
    """Reads a folder of run folders, at any depth, or a JSON file of scores: ``{"Alien": [703.1, 683.6], …}``.

    Raises ``UsageError`` where nothing is there or finished, ``DiamondError`` for a malformed file, an unknown game, or
    two runs of one game and seed.
    """
    if path.is_file():
        return SuiteScores(_read_scores(path), [])
    if not path.is_dir():
        raise UsageError(f"no such folder or file of scores: {path}")
    finished, unfinished = _find_runs(path)
    if not finished:
        found = f"only unfinished runs ({len(unfinished)})" if unfinished else "no runs"
        raise UsageError(f"{path} holds {found}: a finished one has a {FINAL}")
    runs: dict[tuple[str, int], tuple[float, Path]] = {}
    for folder in finished:
        final = read_final(folder / FINAL)
        if (final.game, final.seed) in runs:
            _, other = runs[final.game, final.seed]
            raise DiamondError(f"{other} and {folder} are both {final.game} with seed {final.seed}: remove one")
        runs[final.game, final.seed] = final.score, folder
    by_game = {
        game: np.asarray([score for (of, _), (score, _) in sorted(runs.items()) if of == game]) for game in table1()
    }
    return SuiteScores({game: scores for game, scores in by_game.items() if len(scores)}, unfinished)


def _find_runs(root: Path) -> tuple[list[Path], list[Path]]:
    """Finished and unfinished run folders, sorted; what lies inside a run is its own."""
    finished: list[Path] = []
    unfinished: list[Path] = []
    for folder, inner, names in os.walk(root):
        if FINAL in names or CONFIG in names:
            (finished if FINAL in names else unfinished).append(Path(folder))
            inner.clear()
    return sorted(finished), sorted(unfinished)


def read_final(path: Path) -> FinalScore:
    """Reads the final score of a run. Raises ``DiamondError`` where the file does not hold one."""
    final = _read_json(path)
    with reading(path, "holds no final score: it needs game, seed and scores, finite numbers"):
        game, seed, scores = final["game"], int(final["seed"]), _scores(final["scores"])
    _check_game(game, path)
    return FinalScore(game, seed, float(scores.mean()))


def _read_scores(path: Path) -> dict[str, Floats]:
    found = _read_json(path)
    with reading(path, 'must map games to the scores of their runs, as in {"Pong": [19.3]}'):
        scores = {game: _scores(runs) for game, runs in found.items()}
    for game in scores:
        _check_game(game, path)
    if not scores:
        raise DiamondError(f"{path} holds no scores")
    return {game: scores[game] for game in table1() if game in scores}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DiamondError(f"{path} is not valid JSON: {error}") from error


def _scores(values: Any) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(values)
    return scores


def _check_game(game: object, path: Path) -> None:
    if not isinstance(game, str) or game not in table1():
        raise DiamondError(f"{path} is of {game!r}, which is not one of the {len(table1())} games of the benchmark")


@dataclass(frozen=True)
class GameResult:
    """The runs of one game."""

    game: str
    """Its name."""
    scores: Floats
    """Final scores ``(N,)``."""
    normalised: Floats
    """The same, human-normalised."""
    paper: Floats
    """Human-normalised scores of the paper's runs of DIAMOND."""


@dataclass(frozen=True)
class SuiteResult:
    """Result of ``measure_suite``. Everything is over the games that have a run, also for the paper's columns."""

    games: list[GameResult]
    """One entry a game."""
    aggregates: dict[str, Estimate]
    """Each of ``AGGREGATES``."""
    columns: dict[str, dict[str, Estimate]]
    """The same of the columns of Table 1. It holds one mean a game, which determines ``OF_GAME_MEANS`` only, without
    intervals; columns whose runs are known (``published_runs``) have them all."""
    improvement: dict[str, Estimate]
    """Probability of improvement over every column: over its runs where they are known, else over the means."""
    profile: list[Estimate]
    """Share of runs above each of ``PROFILE_THRESHOLDS``."""
    paper_profile: list[Estimate]
    """The same of the paper's runs of DIAMOND."""


def measure_suite(scores: Mapping[str, Floats], seed: int) -> SuiteResult:
    """Aggregates final scores ``(N,)`` by game; ``seed`` is that of the bootstrap."""
    paper = paper_scores()
    games = [
        GameResult(game, runs, table1()[game].normalise(runs), table1()[game].normalise(paper[game]))
        for game, runs in scores.items()
    ]
    rng = np.random.default_rng(seed)
    ours = Bootstrap([game.normalised for game in games], rng)
    columns = {name: Bootstrap(runs, rng) for name, runs in _columns(list(scores)).items()}
    diamond = columns[DIAMOND]
    return SuiteResult(
        games=games,
        aggregates={name: ours.estimate(statistic) for name, statistic in AGGREGATES.items()},
        columns={
            column: {
                name: runs.estimate(statistic)
                for name, statistic in (AGGREGATES if column in published_runs() else OF_GAME_MEANS).items()
            }
            for column, runs in columns.items()
        },
        improvement={name: ours.improvement_over(other) for name, other in columns.items()},
        profile=[ours.estimate(share_above(threshold)) for threshold in PROFILE_THRESHOLDS],
        paper_profile=[diamond.estimate(share_above(threshold)) for threshold in PROFILE_THRESHOLDS],
    )


def _columns(games: list[str]) -> dict[str, Runs]:
    """The columns of Table 1, human-normalised: their runs, or one run a game, its mean, where these are not known."""
    return {name: [_runs_of(name, game) for game in games] for name in table1()[games[0]].published}


def _runs_of(method: str, game: str) -> Floats:
    row, known = table1()[game], published_runs()
    return row.normalise(known[method][game] if method in known else np.asarray([row.published[method]]))
