"""``python -m benchmarks.batch``."""

from pathlib import Path

import pytest

from tests.benchmarks.processes import result_of


@pytest.mark.slow
def test_throughput_by_batch_and_where_it_saturates(world_folder: Path) -> None:
    limits = ("--largest", "4", "--largest-training", "2", "--largest-plain", "2")
    quick = ("--seconds", "0", "--peak-size", "64", "--device", "cpu")
    result = result_of("benchmarks.batch", "--world", str(world_folder), *limits, *quick)
    rows = result["rows"]
    assert [(row["work"], row["batch"]) for row in rows] == [
        ("play", 1),
        ("play", 2),
        ("play", 4),
        ("training", 1),
        ("training", 2),
    ]
    for row in rows:
        assert row["fast_per_s"] == pytest.approx(1000 * row["batch"] / row["fast_ms"][0], rel=0.01)
        assert (row["speedup"] is None) == (row["batch"] > 2)
        assert row["fast_peak_fraction"] > 0
    for work in ("play", "training"):
        best = max(row["fast_per_s"] for row in rows if row["work"] == work)
        assert result["saturation"][work]["per_s"] >= 0.95 * best
