"""Results as flat reports for machines (JSON, null where undefined) and as tables for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
from rich.table import Table

from diamond_engine.actions import AtariGame
from diamond_engine.files import write_text
from training.evaluation.drift import Drift
from training.evaluation.fidelity.denoising_steps import Comparison
from training.evaluation.fidelity.episodes import DreamFidelity, JudgementFidelity
from training.evaluation.inspection import EpisodeFacts, Inspection
from training.evaluation.metrics import Detection
from training.evaluation.scores.agent import Games
from training.evaluation.scores.benchmark import table1

Value = str | int | float | None
Report = dict[str, Value]


def write_report(path: Path, report: Report) -> None:
    """Writes a report as JSON, atomically."""
    write_text(path, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def table_of(report: Report) -> Table:
    """A report as names and values."""
    table = Table.grid(padding=(0, 2))
    for name, value in report.items():
        table.add_row(name.replace("_", " "), shown(value))
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
        table.add_row(str(result.step), str(result.n), shown(result.wrong_pixel_ratio), shown(result.psnr))
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
        table.add_row(name, str(found.events), str(found.predicted), *map(shown, shares))
    return table


def drift_report(drift: Drift) -> Report:
    """``real_distance_10`` (10: last step of the window), ``world_1``, ``world_1_3_steps_distance_10``, and so on."""
    report: Report = dict(zip((f"real_distance_{mark}" for mark in drift.marks), drift.real.distances, strict=True))
    for number, (label, courses) in enumerate(drift.dreams.items(), start=1):
        report[f"world_{number}"] = label
        for course in courses:
            for mark, distance in zip(drift.marks, course.distances, strict=True):
                report[f"world_{number}_{course.label.replace(' ', '_')}_distance_{mark}"] = distance
    return report


def drift_table(drift: Drift) -> Table:
    """One row a window, one column for real play and for every dream."""
    dreams = [(label, course) for label, courses in drift.dreams.items() for course in courses]
    names = dict(zip(drift.dreams, distinctive([*drift.dreams]), strict=True))
    titles = [f"{names[label]} {course.label}".strip() for label, course in dreams]
    table = Table("up to step", "real", *titles, title="distance to other real games (levels of 256)")
    for window, mark in enumerate(drift.marks):
        distances = [course.distances[window] for course in (drift.real, *(course for _, course in dreams))]
        table.add_row(f"{mark:,}", *map(shown, distances))
    return table


def distinctive(paths: Sequence[str]) -> list[str]:
    """Paths without the folders that all of them have first and last; empty for one path alone."""
    parts = [Path(path).parts for path in paths]
    first = _shared(parts)
    last = _shared([part[first:][::-1] for part in parts])
    own = [part[first : len(part) - last] for part in parts]
    return [str(Path(*part)) if part else "" for part in own]


def _shared(sequences: Sequence[Sequence[str]]) -> int:
    """How many elements all sequences begin with."""
    columns = zip(*sequences, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def comparison_report(comparison: Comparison) -> Report:
    """``sharpness_1``, ``spread_1``, ``psnr_1``, and so on for every number of denoising steps."""
    report: Report = {}
    for draws in comparison.draws:
        report[f"sharpness_{draws.denoising_steps}"] = draws.sharpness
        report[f"spread_{draws.denoising_steps}"] = draws.spread
        report[f"psnr_{draws.denoising_steps}"] = draws.psnr
    return report


def comparison_table(comparison: Comparison) -> Table:
    """One row for every number of denoising steps."""
    table = Table("denoising steps", "sharpness (real = 1)", "spread (levels)", "PSNR (dB)")
    for draws in comparison.draws:
        table.add_row(str(draws.denoising_steps), *map(shown, (draws.sharpness, draws.spread, draws.psnr)))
    return table


def _detections(judgement: JudgementFidelity | None) -> dict[str, Detection]:
    return {} if judgement is None else {"reward": judgement.rewards, "end": judgement.ends}


def agent_report(game: AtariGame, games: Games) -> Report:
    """Scores, lengths, and the scale they are normalised with."""
    reference = table1()[game.name]
    return {
        "games": len(games.scores),
        **_spread("score", games.scores.tolist()),
        "human_normalised_score": reference.normalise(float(games.scores.mean())),
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


def shown(value: Value) -> str:
    """A value in a table: three decimals, thousands apart, a dash where undefined."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
