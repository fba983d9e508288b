"""What kills, stops or shares the work on recordings changes nothing of its result."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from diamond_engine import load_world
from tests.programs import diamond_train
from tests.training.first_person.recordings import arguments_of_training, good, write_recording
from tests.training.trainers import metrics_of
from training.first_person.shards import JOURNAL

RECORDINGS = 40
WAIT_SECONDS = 120


def start(*arguments: str | int | Path, launcher: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", *launcher, *(["-m"] if launcher else []), "training.cli", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording under many names."""
    folder = tmp_path_factory.mktemp("many")
    write_recording(folder / "play_0.hdf5", seed=0)
    for number in range(1, RECORDINGS):
        os.link(folder / "play_0.hdf5", folder / f"play_{number}.hdf5")
    return folder


@pytest.fixture(scope="module")
def prepared(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them prepared, undisturbed."""
    out = tmp_path_factory.mktemp("prepared")
    good("csgo-data", "prepare", many, out, "--workers", 1)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (JOURNAL, ".lock"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def noted(out: Path) -> int:
    """Recordings that a preparation has noted as done."""
    path = out / JOURNAL
    return sum(bool(line.strip()) for line in path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("signum", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGINT])
def test_a_preparation_that_was_stopped_goes_on_to_the_same(
    signum: signal.Signals, many: Path, prepared: Path, tmp_path: Path
) -> None:
    process = start("csgo-data", "prepare", many, tmp_path, "--workers", 1)
    deadline = time.monotonic() + WAIT_SECONDS
    while noted(tmp_path) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signum)
    said = process.communicate()[1]
    done = noted(tmp_path)
    assert 2 <= done < RECORDINGS
    if signum == signal.SIGINT:
        assert process.returncode == 130
        assert said.endswith("interrupted: progress is saved, run the same command again to continue\n")
    assert not (tmp_path / "manifest.json").exists()
    again = good("csgo-data", "prepare", many, tmp_path, "--workers", 1)
    assert f"{RECORDINGS} recordings, {noted_before(again)} of them are prepared" in again
    assert noted_before(again) >= done - 1  # the last line may have been cut off
    assert contents(tmp_path) == contents(prepared)


def noted_before(said: str) -> int:
    """How many a preparation found done."""
    return int(said.partition(" recordings, ")[2].split()[0])


@pytest.mark.slow
def test_two_processes_train_both_stages_as_one(prepared: Path, tmp_path: Path) -> None:
    good(*arguments_of_training(prepared, tmp_path / "one"))
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = start(*arguments_of_training(prepared, tmp_path / "two"), launcher=torchrun)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert said.count("preset quick") == 1
    for stage in ("dynamics", "upsampler"):
        one, two = (metrics_of(tmp_path / name / stage) for name in ("one", "two"))
        assert [row["step"] for row in one] == [row["step"] for row in two]
        for ours, theirs in zip(one, two, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3)
    one, two = load_world(tmp_path / "one"), load_world(tmp_path / "two")
    assert one.upsampler is not None
    assert two.upsampler is not None
    for ours, theirs in ((one.denoiser, two.denoiser), (one.upsampler, two.upsampler)):
        weights = theirs.state_dict()
        for name, value in ours.state_dict().items():
            torch.testing.assert_close(weights[name], value, atol=5e-4, rtol=1e-2)


def test_batches_that_cannot_be_shared_are_refused(prepared: Path, tmp_path: Path) -> None:
    nobody = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    result = diamond_train(*arguments_of_training(prepared, tmp_path), WORLD_SIZE="3", RANK="0", **nobody)
    assert result.returncode == 2
    assert "2 batches an update cannot be shared evenly by 3 processes" in result.stderr
