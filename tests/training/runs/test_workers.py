"""Several processes, or parts of a batch one after the other, train as one process with the whole batch does."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine import load_world
from diamond_engine.errors import UsageError
from diamond_engine.games import atari_game
from tests.conftest import tiny_config
from tests.programs import diamond_train
from tests.training.trainers import RUNTIME, metrics_of
from training.algorithm.diamond import DiamondTraining
from training.algorithm.world_model import Component
from training.components.denoiser import DenoiserTrainingConfig
from training.components.optimisation import OptimiserConfig
from training.components.reward_end import RewardEndTrainingConfig
from training.data.episodes import GameEpisodes
from training.runs.progress import make_console
from training.runs.session import Session
from training.runs.workers import Workers

UPDATES = 8
GENTLE = OptimiserConfig(warmup_steps=1)
"""Larger steps let the rounding of sums grow: the order of adding differs."""
TRAIN = """
from pathlib import Path
import typer
from tests.training.runs.test_workers import train
from training.runs import command
from training.runs.workers import Workers
app = typer.Typer()
@app.command()
def main(data: Path, out: Path, updates: int) -> None:
    train(data, out, updates, Workers.of_environment())
command.run(app)
"""


def train(data: Path, out: Path, updates: int, workers: Workers) -> None:
    """Trains both components of a tiny world."""
    architecture = replace(tiny_config("Breakout"), actor_critic=None)
    session = Session(out, 0, RUNTIME, console=make_console(quiet=not workers.leads), workers=workers)
    training = DiamondTraining(architecture, GameEpisodes(data, atari_game("Breakout")), session)
    denoiser = DenoiserTrainingConfig(batch_size=4, ema_decay=0.9, optimiser=GENTLE)
    reward_end = RewardEndTrainingConfig(batch_size=4, transitions=5, event_share=0.5, optimiser=GENTLE)
    training.train([Component("denoiser", denoiser, updates), Component("reward_end", reward_end, updates)])


@pytest.fixture(scope="module")
def alone(episode_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by one process, whole batches at once."""
    out = tmp_path_factory.mktemp("alone")
    train(episode_folder, out, UPDATES, Workers())
    return out


def start(data: Path, out: Path, updates: int, processes: int = 2) -> "subprocess.Popen[str]":
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    script = out.parent / "train.py"
    script.write_text(TRAIN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    arguments = [str(data), str(out), str(updates)]
    return subprocess.Popen([*launch, str(script), *arguments], env=environment, stderr=subprocess.PIPE, text=True)


def assert_same(one: Path, other: Path) -> None:
    for part in ("denoiser", "reward_end"):
        ours, theirs = metrics_of(one / part), metrics_of(other / part)
        assert [row["step"] for row in ours] == [row["step"] for row in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, rel=1e-3)
    for component in ("denoiser", "reward_end"):
        weights = getattr(load_world(other), component).state_dict()
        for name, value in getattr(load_world(one), component).state_dict().items():
            torch.testing.assert_close(weights[name], value, atol=5e-4, rtol=1e-2)


@pytest.mark.slow
def test_two_processes_train_as_one(alone: Path, episode_folder: Path, tmp_path: Path) -> None:
    process = start(episode_folder, tmp_path / "two", UPDATES)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert said.count("denoiser: 0.03M parameters") == 1
    assert_same(alone, tmp_path / "two")


def test_parts_one_after_the_other_train_as_one(alone: Path, episode_folder: Path, tmp_path: Path) -> None:
    train(episode_folder, tmp_path, UPDATES, Workers(micro_batch=1))
    assert_same(alone, tmp_path)


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_any_number_continues_it(
    alone: Path, episode_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "two"
    train(episode_folder, out, 5, Workers())
    process = start(episode_folder, out, 1_000_000)
    assert process.stderr is not None
    assert any("an update; the remaining" in line for line in process.stderr)
    os.kill(_workers_of(process.pid)[1], signal.SIGKILL)
    said = process.stderr.read()
    assert process.wait() == 1
    assert "error: process 0 of 2 lost another one: run the same command again to continue" in said
    train(episode_folder, out, UPDATES, Workers())
    assert metrics_of(out / "denoiser")[-1] == pytest.approx(metrics_of(alone / "denoiser")[-1], rel=1e-3)


def _workers_of(launcher: int) -> list[int]:
    """Its processes by rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    by_rank: dict[int, int] = {}
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        for entry in environment:
            if entry.startswith(b"RANK="):
                by_rank[int(entry.removeprefix(b"RANK="))] = int(child)
    return [by_rank[rank] for rank in sorted(by_rank)]


@pytest.mark.parametrize(("count", "micro_batch"), [(1, None), (2, None), (2, 3), (3, 1), (1, 5)])
def test_parts_cover_a_batch_once_and_are_of_one_size(count: int, micro_batch: int | None) -> None:
    parts = [Workers(rank, count, rank, micro_batch).parts(12) for rank in range(count)]
    covered = np.concatenate([np.arange(12)[part] for own in parts for part in own])
    assert covered.tolist() == list(range(12))
    sizes = {part.stop - part.start for own in parts for part in own}
    assert len(sizes) == 1
    assert sizes.pop() <= (micro_batch or 12)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UsageError, match="a batch of 4 cannot be shared evenly by 3 processes"):
        Workers(0, 3).parts(4)


def test_algorithm_1_does_not_take_several_processes(tmp_path: Path) -> None:
    result = diamond_train("atari", "Breakout", "--out", tmp_path / "out", WORLD_SIZE="2", RANK="0")
    assert result.returncode == 2
    assert "torchrun started 2 processes: only world-model and csgo take several" in result.stderr
