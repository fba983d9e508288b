"""Scores of real games and contents of episodes, as reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from diamond_engine.games import Game
from training.evaluation.inspection import EpisodeFacts, Inspection
from training.evaluation.reports.report import Report, spread
from training.evaluation.scores.agent import Games
from training.evaluation.scores.benchmark import table1


def agent_report(game: Game, games: Games) -> Report:
    """Scores, lengths, and, for a game of the benchmark, the scale they are normalised with."""
    reference = table1().get(game.name)
    scale: Report = {}
    if reference is not None:
        scale = {
            "human_normalised_score": reference.normalise(float(games.scores.mean())),
            "random_score": reference.random,
            "human_score": reference.human,
        }
    return {
        "games": len(games.scores),
        **spread("score", games.scores.tolist()),
        **scale,
        "length_mean": float(games.lengths.mean()),
        "truncated": int(games.truncated.sum()),
    }


def inspection_report(inspection: Inspection) -> Report:
    """Totals, spreads, how often each action was taken, and what each policy contributed."""
    episodes = inspection.episodes
    report: Report = {"episodes": len(episodes), "damaged": len(inspection.damaged)}
    if not episodes:
        return report
    actions = sum((facts.actions for facts in episodes), Counter[str]())
    return {
        **report,
        "game": _distinct([facts.game for facts in episodes]),
        "frame_shape": _distinct([facts.frame_shape for facts in episodes]),
        "steps": actions.total(),
        **spread("return", [facts.score for facts in episodes]),
        **spread("length", [facts.steps for facts in episodes]),
        "reward_events": sum(facts.reward_events for facts in episodes),
        "terminated": sum(facts.terminated for facts in episodes),
        "truncated": sum(facts.truncated for facts in episodes),
        **{f"action_{name}": times for name, times in actions.most_common()},
        **_by_policy(episodes),
    }


def _by_policy(episodes: Sequence[EpisodeFacts]) -> Report:
    report: Report = {}
    for policy in sorted({facts.policy for facts in episodes}):
        played = [facts for facts in episodes if facts.policy == policy]
        name = f"policy_{policy.replace(' ', '_')}"
        report[f"{name}_episodes"] = len(played)
        report[f"{name}_steps"] = sum(facts.steps for facts in played)
        report[f"{name}_return_mean"] = float(np.mean([facts.score for facts in played]))
    return report


def _distinct(names: Sequence[str]) -> str:
    return ", ".join(sorted(set(names)))
