"""Suites as a person runs them: two slots or a real local Ray, tiny games, whatever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from types import SimpleNamespace

import pytest

from diamond_engine.errors import UsageError
from tests.programs import diamond_train
from tests.training.trainers import TINY_ASSIGNMENTS, TWO_EPOCHS, metrics_of, run
from training.evaluation.scores.suite import read_suite
from training.suite import cluster

GAMES = "Breakout,Pong,Boxing"
OFTEN = "checkpoint_minutes=0.01"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""As every task of Ray has, so that sums are added in the same order."""
WAIT_SECONDS = 120


def command(out: Path, games: str, *more: str) -> list[str]:
    sizes = [part for assignment in (*TINY_ASSIGNMENTS, *TWO_EPOCHS) for part in ("--set", assignment)]
    how = ["--seeds", "1", "--preset", "quick", "--per-device", "2", "--device", "cpu", "--dtype", "float32"]
    return [sys.executable, "-m", "training.cli", "suite", "--out", str(out), "--games", games, *how, *sizes, *more]


def make(out: Path, games: str, *more: str) -> subprocess.CompletedProcess[str]:
    """To its end; the suite itself is in this process, its runs are not."""
    return diamond_train(*command(out, games, *more)[3:], OMP_NUM_THREADS="1")


def start(out: Path, games: str, *more: str) -> "subprocess.Popen[str]":
    """As a process that saves often."""
    return subprocess.Popen(
        command(out, games, "--set", OFTEN, *more), env=ONE_THREAD, stderr=subprocess.PIPE, text=True
    )


@dataclass(frozen=True)
class Made:
    """Three games in two slots, and what was said of them."""

    out: Path
    first: "subprocess.CompletedProcess[str]"
    """Of a suite in which one run cannot begin."""
    finished: int
    """When another one was."""
    second: "subprocess.CompletedProcess[str]"
    """Of the same command again, once nothing is in its way."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("suite") / "runs"
    stray = out / "Pong" / "seed_0" / "episodes" / "episode_000000.h5"
    stray.parent.mkdir(parents=True)
    stray.touch()
    first = make(out, GAMES)
    finished = (out / "Breakout" / "seed_0" / "final.json").stat().st_mtime_ns
    rmtree(out / "Pong")
    return Made(out, first, finished, make(out, GAMES))


@pytest.fixture
def undisturbed(made: Made) -> Path:
    """The folder, with all three finished."""
    assert made.second.returncode == 0, made.second.stderr
    return made.out


def processes_of(folder: Path) -> Iterator[int]:
    """Processes that make the run in a folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if str(folder).encode() in words and b"training.suite.child" in words:
            yield int(entry.name)


def begun(folder: Path) -> int:
    """Waits until a run has saved; returns its process."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if any((folder / "checkpoints").glob("step_*.pt")):
            return next(processes_of(folder))
        time.sleep(0.02)
    raise AssertionError(f"{folder} has not begun")


def assert_same(ours: Path, theirs: Path) -> None:
    folders = sorted(path.parent.relative_to(ours) for path in ours.rglob("final.json"))
    assert folders
    for folder in folders:
        assert metrics_of(ours / folder) == metrics_of(theirs / folder), folder
        assert (ours / folder / "final.json").read_text() == (theirs / folder / "final.json").read_text()


def test_a_suite_says_its_cost_shows_one_table_and_is_measured(made: Made) -> None:
    said = made.first.stderr
    assert "3 games x 1 seeds" in said
    assert "3 runs, 0 finished, 0 begun, 3 to begin" in said
    assert "2 at once (2 x CPU): 3 runs take the time of 2" in said
    suite = read_suite(made.out)
    assert suite.scores.keys() == set(GAMES.split(","))
    assert suite.unfinished == []
    for game, scores in suite.scores.items():
        (row,) = [line for line in made.second.stderr.splitlines() if line.startswith(f"│ {game} ")]
        assert f"{scores[0]:,.1f}" in row


def test_a_failure_leaves_the_others_alone(made: Made) -> None:
    assert made.first.returncode == 1
    assert "Pong, seed 0: failed: " in made.first.stderr
    assert "holds episodes of no run" in made.first.stderr
    assert made.first.stderr.splitlines()[-1].startswith("error: 1 of 3 runs failed")


def test_what_is_finished_is_skipped(made: Made, undisturbed: Path) -> None:
    assert "2 finished, 0 begun, 1 to begin" in made.second.stderr
    assert (undisturbed / "Breakout" / "seed_0" / "final.json").stat().st_mtime_ns == made.finished


@pytest.mark.slow
def test_a_killed_run_is_started_again_and_sigterm_saves_all(undisturbed: Path, tmp_path: Path) -> None:
    out, games = tmp_path / "runs", "Breakout,Pong"
    suite = start(out, games)
    first = begun(out / "Breakout" / "seed_0")
    os.kill(first, signal.SIGKILL)
    log = out / "Breakout" / "seed_0" / "log.txt"
    deadline = time.monotonic() + WAIT_SECONDS
    while "continuing" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    suite.send_signal(signal.SIGTERM)
    assert suite.stderr is not None
    assert "interrupted: progress is saved" in suite.stderr.read()
    assert suite.wait() == 128 + signal.SIGTERM
    assert log.read_text().count("continuing") == 1
    for game in games.split(","):
        folder = out / game / "seed_0"
        assert not list(processes_of(folder))
        assert (folder / "final.json").exists() or "interrupted: progress is saved" in (folder / "log.txt").read_text()
    result = make(out, games, "--set", OFTEN)
    assert result.returncode == 0, result.stderr
    assert_same(undisturbed / "Breakout", out / "Breakout")
    assert_same(undisturbed / "Pong", out / "Pong")


@pytest.mark.slow
def test_a_run_ends_with_a_killed_suite(tmp_path: Path) -> None:
    suite = start(tmp_path, "Breakout", "--set", "collection.first_max=1000000", "--set", "collection.steps=1000000")
    begun(tmp_path / "Breakout" / "seed_0")
    suite.kill()
    suite.wait()
    deadline = time.monotonic() + WAIT_SECONDS
    while list(processes_of(tmp_path / "Breakout" / "seed_0")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_ray_makes_the_same_runs_though_a_worker_is_killed(undisturbed: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "runs"
    suite = start(out, GAMES, "--ray", "local")
    folder = out / "Breakout" / "seed_0"
    status = Path(f"/proc/{begun(folder)}/status").read_text()
    worker = int(status.partition("PPid:")[2].split()[0])
    os.kill(worker, signal.SIGKILL)
    assert suite.stderr is not None
    said = suite.stderr.read()
    assert suite.wait() == 0, said
    assert "2 at once (a Ray cluster of 1 machine, 2 CPU cores)" in said
    assert "continuing" in (folder / "log.txt").read_text()
    assert_same(undisturbed, out)
    assert json.loads((folder / "final.json").read_text())["game"] == "Breakout"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "denoiser.batchsize=3"], "unknown setting 'denoiser.batchsize': did you mean denoiser.batch_size?"),
        (["--set", "denoiser.batch_size=3"], "holds a run with other settings (denoiser.batch_size)"),
        (["--games", "Tetris"], "Tetris is none of the 26 games"),
        (["--gpus", "7"], "no GPU '7' for --gpus: there is none to use"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--device", "cuda:1"], "--device cuda:1 names one device"),
        (["--dtype", "half"], "unknown dtype 'half'"),
        (["--gpus", "0", "--ray", "auto"], "--gpus is for this machine"),
    ],
)
def test_wrong_usage_is_one_line(undisturbed: Path, arguments: list[str], message: str) -> None:
    code, said = run(*command(undisturbed, GAMES, *arguments)[3:])
    assert code == 2
    assert message in said
    assert said.count("\n") == 1


def test_runs_on_a_device_are_refused_where_a_cluster_computes_on_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 4.0}, nodes=lambda: [{"Alive": True}], shutdown=lambda: None
    )
    monkeypatch.setattr(cluster, "_connected", lambda address, workers: connection)
    with pytest.raises(UsageError, match="--per-device is for GPUs"):
        cluster.Cluster("auto", "auto", 2)
    assert cluster.Cluster("auto", "auto", None).slots == 4
    assert cluster.Cluster("local", "auto", 2).slots == 4  # begun with as many cores as runs
    connection.cluster_resources = lambda: {"CPU": 4.0, "GPU": 2.0}
    assert cluster.Cluster("auto", "auto", 3).slots == 6


def test_a_missing_cluster_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    code, said = run(*command(tmp_path, GAMES, "--ray", "auto")[3:])
    assert code == 1
    assert said.startswith("error: no Ray cluster at 'auto'")
    assert said.count("\n") == 1
