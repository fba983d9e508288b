"""Benchmarks as a person runs them, in the process of their tests."""

import json
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.programs import ended
from training.runs.command import run

ROOT = Path(__file__).parents[2]


def call_here(module: str, *arguments: str) -> CompletedProcess[str]:
    """Runs a benchmark in this process."""
    app = import_module(module).app
    return ended(lambda: run(app), module, *arguments, folder=ROOT)


def result_of(module: str, *arguments: str) -> dict[str, Any]:
    """Its last line, read as JSON."""
    done = call_here(module, *arguments)
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    assert len(table) > 3
    return json.loads(last)


def check_row(row: dict[str, Any], unit: str, count: int) -> None:
    """Medians lie between the extremes, and rates and ratio follow from them."""
    for side in ("plain", "fast"):
        median, low, high = row[f"{side}_ms"]
        assert 0 < low <= median <= high
        assert row[f"{side}_{unit}"] == pytest.approx(1000 * count / median, rel=0.01)
        assert row[f"{side}_peak_fraction"] > 0
    assert row["speedup"] == pytest.approx(row["plain_ms"][0] / row["fast_ms"][0], rel=0.01)
    assert row["gflop"] > 0
