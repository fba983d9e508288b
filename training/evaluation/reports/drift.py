"""How far dreams drift, as a report, a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
from rich.table import Table

from training.evaluation.drift import Drift
from training.evaluation.reports.pictures import PAPER, Image, Row, grid_picture
from training.evaluation.reports.report import Report, shown


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


def drift_picture(drift: Drift) -> Image:
    """Real frames above dreamed ones, a row for every number of denoising steps; worlds side by side."""
    columns = [f"t={step}" for step in drift.pictured]
    worlds = [
        grid_picture(columns, [Row(course.label, course.frames) for course in (drift.real, *courses)], label)
        for label, courses in drift.dreams.items()
    ]
    height = max(map(len, worlds))
    blank = [(height - len(world), *world.shape[1:]) for world in worlds]  # one world may have more rows than another
    return np.concatenate(
        [np.concatenate((world, np.full(shape, PAPER, np.uint8))) for world, shape in zip(worlds, blank, strict=True)],
        axis=1,
    )
