"""The output of a benchmark: a table, and one JSON object as the last line."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from diamond_engine.runtime import Runtime

TERA = 1e12


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table of strings."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=WIDTH).print(table)


WIDTH = 150


def show_json(content: Mapping[str, Any]) -> None:
    """Prints the last line."""
    print(json.dumps(content), flush=True)


def surroundings(runtime: Runtime, peaks: Mapping[str, float]) -> dict[str, Any]:
    """Facts about the machine, with the same keys in every benchmark."""
    return {
        "device": str(runtime.device),
        "runtime": runtime.describe(),
        "dtype": runtime.dtype_name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "peak_tflops": {name: round(peak / TERA, 4) for name, peak in peaks.items()},
    }


def described(runtime: Runtime, peaks: Mapping[str, float]) -> str:
    """The same facts for a title."""
    products = ", ".join(f"{name} {peak / TERA:.3g}" for name, peak in peaks.items())
    return f"{runtime.describe()}; large matrix products: {products} TFLOP/s"


def spread(milliseconds: Sequence[float]) -> str:
    """Median, with shortest and longest in brackets."""
    median, low, high = milliseconds
    return f"{median:.1f} ({low:.1f}–{high:.1f})"


def times(ratio: float) -> str:
    """Such as ``4.6×``."""
    return f"{ratio:.2f}×"


def percent(fraction: float) -> str:
    """Such as ``87 %``."""
    return f"{100 * fraction:.0f} %"
