"""What is published of the Atari 100k benchmark: Table 1 of the paper, and every run of DIAMOND, IRIS and SimPLe."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

PAPER = files("training.evaluation.scores") / "paper"
DIAMOND = "DIAMOND"
STATED_MEANS = {"DreamerV3": 1.097}
"""Mean human-normalised scores that the paper states and that the scores of its Table 1 do not give."""
Scores = TypeVar("Scores", float, NDArray[np.float64])


@dataclass(frozen=True)
class ReferenceScores:
    """Mean scores of whole games of one game."""

    random: float
    """Of uniformly random actions."""
    human: float
    """Of a human player."""
    published: dict[str, float]
    """Of each method of Table 1, by name."""

    def normalise(self, scores: Scores) -> Scores:
        """Human-normalised: 0 at the score of random play, 1 at that of a human."""
        return (scores - self.random) / (self.human - self.random)


@cache
def table1() -> dict[str, ReferenceScores]:
    """Table 1 of the paper, by game."""
    rows = csv.DictReader(PAPER.joinpath("table1.csv").read_text(encoding="utf-8").splitlines())
    return {row["Game"]: _reference(row) for row in rows}


def _reference(row: dict[str, str]) -> ReferenceScores:
    scores = {name: float(score) for name, score in row.items() if name != "Game"}
    return ReferenceScores(scores.pop("Random"), scores.pop("Human"), scores)


def paper_scores() -> dict[str, NDArray[np.float64]]:
    """Final scores of the paper's 5 runs of DIAMOND ``(5,)``, by game."""
    return published_runs()[DIAMOND]


@cache
def published_runs() -> dict[str, dict[str, NDArray[np.float64]]]:
    """Final scores of the 5 runs ``(5,)`` of those methods of Table 1 whose runs are known, by method and game."""
    methods = {DIAMOND: _read("diamond_scores.json"), **_read("baseline_scores.json")}
    return {
        method: {game: np.asarray(runs, dtype=np.float64) for game, runs in scores.items()}
        for method, scores in methods.items()
    }


def _read(name: str) -> Any:
    return json.loads(PAPER.joinpath(name).read_text(encoding="utf-8"))
