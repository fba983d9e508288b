"""Benchmarks as a person runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def call(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a benchmark on one core: threads that wait for each other are slow where tests run side by side."""
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)


def result_of(module: str, *arguments: str) -> dict[str, Any]:
    """Its last line, read as JSON."""
    done = call(module, *arguments)
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
