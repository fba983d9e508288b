"""Worlds side by side, as a flat report, as a table, and as strips in which what differs from the real game is framed.

Shapes: S steps, H height, W width.
"""

from __future__ import annotations

import cv2
import numpy as np
from rich.table import Table

from training.evaluation.comparison import Comparison, Contender
from training.evaluation.metrics import WRONG_LEVELS, Frames
from training.evaluation.play.moving_pixels import MEASURED_STEPS
from training.evaluation.reports.pictures import STRIP_STEPS, Image, Row, grid_picture
from training.evaluation.reports.report import Report, shown

FRAME = (255, 0, 96)
"""Colour of the frames, which no Atari game has."""
NEAR = 5
"""Pixels within which wrong ones share a frame."""


def contender_report(world: Contender) -> Report:
    """Such as ``wrong_pixel_ratio_5``, ``moving_pixels_5``, ``reward_f1``, ``network_calls``, ``ms_a_frame``."""
    report: Report = {"kind": world.kind}
    for step, ratio in zip(MEASURED_STEPS, world.wrong_pixel_ratios, strict=True):
        report[f"wrong_pixel_ratio_{step}"] = ratio
    for pixels in world.moving_pixels:
        report[f"moving_pixels_{pixels.step}"] = pixels.dreamed
    return {
        **report,
        "reward_precision": world.rewards.precision,
        "reward_recall": world.rewards.recall,
        "reward_f1": world.rewards.f1,
        "rewards": world.rewards.events,
        "network_calls": world.cost.network_calls,
        "ms_a_frame": world.cost.ms_a_frame,
        "parameters": world.cost.parameters,
        "training_seconds": world.cost.training_seconds,
    }


def comparison_report(comparison: Comparison) -> Report:
    """``world_1``, its label, ``world_1_kind`` and so on, for every world."""
    report: Report = {"contexts": comparison.contexts}
    for number, world in enumerate(comparison.contenders, start=1):
        report[f"world_{number}"] = world.label
        report |= {f"world_{number}_{name}": value for name, value in contender_report(world).items()}
    return report


def comparison_table(comparison: Comparison) -> Table:
    """A column a world."""
    reports = [contender_report(world) for world in comparison.contenders]
    table = Table("", *(world.label for world in comparison.contenders), title=f"{comparison.contexts} dreams each")
    for name in reports[0]:
        table.add_row(name.replace("_", " "), *(shown(report[name]) for report in reports))
    return table


def comparison_picture(comparison: Comparison) -> Image:
    """The first dream of every world under what really happened, wrong pixels framed."""
    steps = np.asarray([step for step in STRIP_STEPS if step <= len(comparison.real)])
    rows = [Row("real", comparison.real[steps - 1])]
    for world in comparison.contenders:
        rows.append(Row(world.kind, framed(world.frames, comparison.real)[steps - 1]))
    return grid_picture([str(step) for step in steps], rows)


def framed(frames: Frames, real: Frames) -> Frames:
    """Frames ``(S, H, W, 3)`` with a box around every group of pixels that are wrong."""
    off = np.abs(frames.astype(np.int16) - real.astype(np.int16)) > WRONG_LEVELS
    wrong_pixels = np.asarray(off.any(axis=-1), dtype=np.uint8)
    boxed = frames.copy()
    for frame, wrong in zip(boxed, wrong_pixels, strict=True):
        joined = cv2.dilate(wrong, np.ones((NEAR, NEAR), np.uint8))
        count, _, groups, _ = cv2.connectedComponentsWithStats(joined)
        for left, top, width, height, _ in groups[1:count].tolist():
            cv2.rectangle(frame, (left, top), (left + width - 1, top + height - 1), FRAME)
    return boxed
