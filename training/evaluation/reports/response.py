"""Responses of a first-person world to actions, as a report, a table and a picture."""

from __future__ import annotations

from rich.table import Table

from training.evaluation.reports.pictures import Image, Row, grid_picture
from training.evaluation.reports.report import Report, shown
from training.evaluation.response import MEASURED_STEPS, Responses


def response_report(responses: Responses) -> Report:
    """``forward_difference_1``, ``forward_motion``, ``forward_right_way``, and so on for every action."""
    report: Report = {}
    for result in responses.responses:
        name = result.probe.name.replace(" ", "_")
        for step, difference in result.differences.items():
            report[f"{name}_difference_{step}"] = difference
        if result.probe.measure is not None:
            report[f"{name}_motion"] = result.motion
            report[f"{name}_right_way"] = result.agreement
            report[f"{name}_real_motion"] = result.real_motion
            report[f"{name}_real_right_way"] = result.real_agreement
            report[f"{name}_real_pairs"] = result.real_pairs
    return report


def response_table(responses: Responses) -> Table:
    """One row an action."""
    titles = [f"difference at {step}" for step in MEASURED_STEPS]
    table = Table("action", *titles, "motion", "dreamed (%)", "right way", "real (%)", "right way", "pairs")
    for result in responses.responses:
        values = (result.motion, result.agreement, result.real_motion, result.real_agreement)
        table.add_row(
            result.probe.name,
            *map(shown, result.differences.values()),
            result.probe.measure or "–",
            *map(shown, values),
            str(result.real_pairs),
        )
    return table


def response_picture(responses: Responses) -> Image:
    """One row an action, one column a measured step."""
    steps = (0, *MEASURED_STEPS)
    rows = [Row(name, frames[[*steps]]) for name, frames in responses.pictures.items()]
    return grid_picture(["context", *(f"step {step}" for step in MEASURED_STEPS)], rows)
