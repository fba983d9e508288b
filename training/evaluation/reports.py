"""Results as flat reports for machines (JSON, null where undefined) and as tables for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from diamond_engine.actions import AtariGame
from diamond_engine.files import write_text
from training.evaluation.agent import Games
from training.evaluation.benchmark import REFERENCE_SCORES, human_normalised
from training.evaluation.fidelity import DreamFidelity, JudgementFidelity
from training.evaluation.inspection import EpisodeFacts, Inspection
from training.evaluation.metrics import Detection

Value = str | int | float | None
Report = dict[str, Value]


def write_report(path: Path, report: Report) -> None:
    """Writes a report as JSON, atomically."""
    write_text(path, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def table_of(report: Report) -> Table:
    """A report as names and values."""
    table = Table.grid(padding=(0, 2))
    for name, value in report.items():
        table.add_row(name.replace("_", " "), _shown(value))
    return table


def dream_report(dreams: DreamFidelity) -> Report:
    """``wrong_pixel_ratio_1``, ``psnr_1``, ``n_1``, and so on for every measured step."""
    report: Report = {}
    for result in dreams.steps:
        report[f"wrong_pixel_ratio_{result.step}"] = result.wrong_pixel_ratio
        report[f"psnr_{result.step}"] = result.psnr
        report[f"n_{result.step}"] = result.n
    return report


def dream_table(dreams: DreamFidelity) -> Table:
    """One row a measured step."""
    table = Table("step", "dreams", "wrong-pixel ratio", "PSNR (dB)")
    for result in dreams.steps:
        table.add_row(str(result.step), str(result.n), _shown(result.wrong_pixel_ratio), _shown(result.psnr))
    return table


def judgement_report(judgement: JudgementFidelity | None) -> Report:
    """``reward_precision``, ``reward_recall``, ``reward_f1``, ``reward_events`` and the same for ``end``."""
    report: Report = {}
    for name, detection in _detections(judgement).items():
        report[f"{name}_precision"] = detection.precision
        report[f"{name}_recall"] = detection.recall
        report[f"{name}_f1"] = detection.f1
        report[f"{name}_events"] = detection.events
    return report


def judgement_table(judgement: JudgementFidelity | None) -> Table | str:
    """One row for rewards, one for ends, or a line that says why there are none."""
    if judgement is None:
        return "rewards and ends are not measured: the world has no reward/end model"
    table = Table("event", "real", "predicted", "precision", "recall", "F1")
    for name, found in _detections(judgement).items():
        shares = (found.precision, found.recall, found.f1)
        table.add_row(name, str(found.events), str(found.predicted), *map(_shown, shares))
    return table


def _detections(judgement: JudgementFidelity | None) -> dict[str, Detection]:
    return {} if judgement is None else {"reward": judgement.rewards, "end": judgement.ends}


def agent_report(game: AtariGame, games: Games) -> Report:
    """Scores, lengths, and the scale they are normalised with."""
    reference = REFERENCE_SCORES[game.name]
    return {
        "games": len(games.scores),
        **_spread("score", games.scores.tolist()),
        "human_normalised_score": human_normalised(game, float(games.scores.mean())),
        "random_score": reference.random,
        "human_score": reference.human,
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
        **_spread("return", [facts.score for facts in episodes]),
        **_spread("length", [facts.steps for facts in episodes]),
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


def _spread(name: str, values: Sequence[float]) -> Report:
    array = np.asarray(values)
    return {
        f"{name}_mean": float(array.mean()),
        f"{name}_std": float(array.std()),
        f"{name}_min": float(array.min()),
        f"{name}_max": float(array.max()),
    }


def _distinct(names: Sequence[str]) -> str:
    return ", ".join(sorted(set(names)))


def _shown(value: Value) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
