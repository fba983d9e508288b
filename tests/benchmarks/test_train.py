"""``python -m benchmarks.train``."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.processes import call_here, check_row, result_of

QUICK = ("--seconds", "0", "--peak-size", "64", "--device", "cpu")


def test_a_component_is_timed_on_both_sides(world_folder: Path) -> None:
    arguments = ("--component", "denoiser", "--batch", "2", "--world", str(world_folder), "--no-memory")
    (row,) = result_of("benchmarks.train", *arguments, *QUICK)["rows"]
    check_row(row, "updates_per_s", 1)
    assert (row["component"], row["calls"]) == ("denoiser", [3, 3])


@pytest.mark.slow
def test_peak_memory_is_of_each_side_alone(world_folder: Path) -> None:
    arguments = ("--component", "denoiser", "--batch", "2", "--world", str(world_folder))
    (row,) = result_of("benchmarks.train", *arguments, *QUICK)["rows"]
    for side in ("plain", "fast"):
        assert 100e6 < row[f"{side}_peak_bytes"] < 4e9


def test_the_peak_of_a_process_is_its_own_and_not_what_its_parent_held() -> None:
    held = bytearray(b"x") * 1_000_000_000
    probe = [sys.executable, "-c", "from benchmarks.train import resident_peak; print(resident_peak())"]
    peak = int(subprocess.run(probe, capture_output=True, text=True, check=True).stdout)
    assert 50e6 < peak < len(held)


def test_an_unknown_component_is_one_line() -> None:
    done = call_here("benchmarks.train", "--component", "dynamo")
    assert done.returncode == 2
    assert "dynamo" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
