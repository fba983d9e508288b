"""``python -m benchmarks.data``."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.benchmarks.processes import call_here, result_of
from tests.training.first_person.recordings import good


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short recordings in the layout of the CS:GO data set."""
    folder = tmp_path_factory.mktemp("originals")
    rng = np.random.default_rng(0)
    for number in range(2):
        with h5py.File(folder / f"hdf5_doom_{number}.hdf5", "w") as file:
            for i in range(15):
                file[f"frame_{i}_x"] = rng.integers(256, size=(150, 280, 3), dtype=np.uint8)
                file[f"frame_{i}_y"] = np.zeros(51)
                file[f"frame_{i}_helperarr"] = np.zeros(2)
    return folder


def test_all_ways_of_reading_are_compared(originals: Path, tmp_path: Path) -> None:
    good("csgo-data", "prepare", originals, tmp_path / "prepared", "--workers", 1)
    where = ("--originals", str(originals), "--prepared", str(tmp_path / "prepared"))
    rows = result_of("benchmarks.data", *where, "--seconds", "0", "--updates", "10")["rows"]
    sources = ["originals, reopened", "originals, kept open", "shards"]
    assert [(row["frames"], row["source"]) for row in rows] == [
        *(("low-res", source) for source in sources),
        *(("full-res", source) for source in sources),
    ]
    for row in rows:
        frames = 16 * 9 if row["frames"] == "low-res" else 4 * 3
        assert row["frames_per_s"] == pytest.approx(1000 * frames / row["batch_ms"][0], rel=0.01)
        assert row["headroom"] == pytest.approx(row["updates_per_s"] / 10, rel=0.01, abs=0.001)


def test_it_needs_something_to_read() -> None:
    done = call_here("benchmarks.data")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
