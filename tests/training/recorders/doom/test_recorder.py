"""Recordings: their layout, that they come out the same again, and what can go wrong."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from diamond_engine.actions import csgo
from diamond_engine.errors import DiamondError, UsageError
from training.recorders.doom.episode import episode_path, read_facts, record_episode
from training.recorders.doom.recorder import Recorder

FRAMES = 40


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short episodes, recorded side by side."""
    folder = tmp_path_factory.mktemp("doom")
    Recorder(folder, seed=5, workers=2, frames=FRAMES).record(2)
    return folder


def test_the_layout_is_that_of_the_cs_go_data_set(recorded: Path) -> None:
    with h5py.File(episode_path(recorded, 1)) as file:
        kinds = {
            "x": ((150, 280, 3), np.uint8),
            "y": ((51,), float),
            "xaux": ((54,), float),
            "helperarr": ((2,), float),
        }
        assert set(file) == {f"frame_{i}_{kind}" for i in range(FRAMES) for kind in kinds}
        for name, data in file.items():
            shape, dtype = kinds[name.rpartition("_")[2]]
            assert (data.shape, data.dtype, data.chunks, data.compression) == (shape, dtype, None, None)
        actions = np.stack([file[f"frame_{i}_y"][()] for i in range(FRAMES)])
        before = np.stack([file[f"frame_{i}_xaux"][:51] for i in range(FRAMES)])
    assert np.array_equal(before[1:], actions[:-1])
    assert not before[0].any()
    assert all(np.array_equal(csgo.encode(csgo.decode(action)), action) for action in actions)


def test_the_same_seed_and_number_record_the_same_file(recorded: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    record_episode(again, 5, 1, FRAMES, lambda: None)
    record_episode(other, 6, 1, FRAMES, lambda: None)
    assert again.read_bytes() == episode_path(recorded, 1).read_bytes()
    assert other.read_bytes() != again.read_bytes()


@pytest.mark.slow
def test_the_explorer_covers_more_and_more(tmp_path: Path) -> None:
    seen = []
    for frames in (10, 300):
        record_episode(tmp_path / str(frames), 0, 1, frames, lambda: None)
        seen.append(len(read_facts(tmp_path / str(frames)).places_seen))
    assert seen[1] >= max(12, 4 * seen[0])


def test_a_recording_that_is_there_continues(recorded: Path) -> None:
    first, second = (episode_path(recorded, number) for number in (1, 2))
    kept, bytes_before = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    Recorder(recorded, seed=5, frames=FRAMES).record(2)
    assert (first.stat().st_mtime_ns, second.read_bytes()) == (kept, bytes_before)


def test_other_recordings_and_damaged_files_are_named(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has seed 5 and 40 frames, not 6 and 40: use another folder"):
        Recorder(recorded, seed=6, frames=FRAMES).record(1)
    episode_path(tmp_path, 1).write_bytes(episode_path(recorded, 1).read_bytes()[:100_000])
    with pytest.raises(DiamondError, match="is not a recording of Doom"):
        Recorder(tmp_path, seed=5, frames=FRAMES).record(1)


def test_a_disk_that_is_too_small_is_noticed_at_once(tmp_path: Path) -> None:
    with pytest.raises(DiamondError, match="has room for"):
        Recorder(tmp_path, frames=10**15).record(1)


def test_without_vizdoom_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['vizdoom'] = None; from training.cli import main; main()"
    command = [sys.executable, "-c", program, "record", "doom", "--out", str(tmp_path), "--episodes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: recording Doom needs ViZDoom: pip install diamond-engine[doom]\n",
    )
