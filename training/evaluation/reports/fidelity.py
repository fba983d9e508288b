"""How close dreams are to real play, as reports, tables and a picture."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from training.evaluation.dreams import steps_label
from training.evaluation.fidelity.denoising_steps import Comparison
from training.evaluation.fidelity.episodes import DreamFidelity, JudgementFidelity
from training.evaluation.fidelity.footage import StageFidelity
from training.evaluation.metrics import Detection
from training.evaluation.reports.pictures import Image, Row, grid_picture
from training.evaluation.reports.report import Report, shown

PICTURED = 10
"""Contexts that a picture shows."""


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
        return "rewards and ends are not measured: nothing here judges real ones"
    table = Table("event", "real", "predicted", "precision", "recall", "F1")
    for name, found in _detections(judgement).items():
        shares = (found.precision, found.recall, found.f1)
        table.add_row(name, str(found.events), str(found.predicted), *map(shown, shares))
    return table


def distance_report(stages: dict[str, StageFidelity]) -> Report:
    """``dynamics_wrong_pixel_ratio_1``, ``dynamics_psnr_1``, and so on for every stage and measured step."""
    report: Report = {}
    for stage, result in stages.items():
        for at in result.steps:
            report[f"{stage}_wrong_pixel_ratio_{at.step}"] = at.wrong_pixel_ratio
            report[f"{stage}_psnr_{at.step}"] = at.psnr
            report[f"{stage}_mean_error_{at.step}"] = at.mean_error
            report[f"{stage}_repeated_error_{at.step}"] = at.repeated_error
    return report


def distance_table(stage: str, result: StageFidelity) -> Table:
    """One row a measured step of a stage."""
    table = Table(
        "step",
        "wrong-pixel ratio",
        "PSNR (dB)",
        "mean error (levels)",
        "of a still picture",
        title=f"frames of {stage}",
    )
    for at in result.steps:
        values = (at.wrong_pixel_ratio, at.psnr, at.mean_error, at.repeated_error)
        table.add_row(str(at.step), *map(shown, values))
    return table


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


def comparison_picture(comparison: Comparison) -> Image:
    """First draws side by side, for the contexts where fewest and most denoising steps differ most."""
    fewest, most = (draws.frames[:, 0].astype(np.float64) for draws in (comparison.draws[0], comparison.draws[-1]))
    chosen = np.argsort(-np.abs(fewest - most).mean(axis=(1, 2, 3)), kind="stable")[:PICTURED]
    rows = [Row("before", comparison.newest[chosen]), Row("real", comparison.real[chosen])]
    rows += [Row(steps_label(draws.denoising_steps), draws.frames[chosen, 0]) for draws in comparison.draws]
    return grid_picture([f"#{place}" for place in chosen.tolist()], rows)
