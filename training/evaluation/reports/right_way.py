"""Whether an action does what it should in a game that can be played, as a report, a table and a picture."""

from __future__ import annotations

from rich.table import Table

from training.evaluation.reports.pictures import Image, Row, grid_picture
from training.evaluation.reports.report import Report, shown
from training.evaluation.right_way import MEASURED_STEPS, STEPS, RightWay


def right_way_report(result: RightWay) -> Report:
    """``right_way_1``, ``chance_1``, ``left_right_way_1``, ``left_dreams_1`` and so on for every action and step."""
    report: Report = {}
    for step in MEASURED_STEPS:
        report[f"right_way_{step}"] = result.overall[step]
        report[f"chance_{step}"] = result.chance[step]
        for action in result.actions:
            name = action.name.replace(" ", "_")
            report[f"{name}_right_way_{step}"] = action.right[step]
            report[f"{name}_dreams_{step}"] = action.dreams[step]
    return report


def right_way_table(result: RightWay) -> Table:
    """One row an action, then all of them and chance."""
    titles = [title for step in MEASURED_STEPS for title in (f"right way at {step}", "dreams")]
    table = Table("action", *titles)
    for action in result.actions:
        cells = [cell for step in MEASURED_STEPS for cell in (shown(action.right[step]), str(action.dreams[step]))]
        table.add_row(action.name, *cells)
    for name, shares in (("all", result.overall), ("by chance", result.chance)):
        table.add_row(name, *(cell for step in MEASURED_STEPS for cell in (shown(shares[step]), "")))
    return table


def right_way_picture(result: RightWay) -> Image:
    """For every action what it really leads to from one place, above the dream of it."""
    rows: list[Row] = []
    for action, real, dreamed in zip(result.actions, result.first.led_to, result.dreamed, strict=True):
        rows += [Row(f"{action.name}, real", real), Row("dream", dreamed)]
    return grid_picture([f"step {step}" for step in range(1, STEPS + 1)], rows)
