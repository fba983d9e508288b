"""Results as flat reports for machines (JSON, null where undefined) and as tables for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from diamond_engine.files import write_text

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


def shown(value: Value) -> str:
    """A value in a table: three decimals, thousands apart, a dash where undefined."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def spread(name: str, values: Sequence[float]) -> Report:
    """Mean, standard deviation, least and greatest of some values."""
    array = np.asarray(values)
    return {
        f"{name}_mean": float(array.mean()),
        f"{name}_std": float(array.std()),
        f"{name}_min": float(array.min()),
        f"{name}_max": float(array.max()),
    }
