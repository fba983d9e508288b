"""``diamond-train record doom`` as a process: stopped, killed, out of disk, asked for what makes no sense."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.programs import diamond_train
from training.recorders.doom.episode import read_facts
from training.recorders.doom.recorder import BYTES_PER_FRAME

FRAMES = 40
COMMAND = """
import sys
from functools import partial
from training import cli
from training.recorders.doom import cli as doom
doom.Recorder = partial(doom.Recorder, frames=int(sys.argv.pop()))  # of 1000 each would take minutes
cli.main()
"""
LARGEST_FILE = 20_000_000
"""In bytes: ViZDoom's shared memory needs to fit."""
LOOKS = 6000


def arguments(out: Path, *options: str, frames: int = FRAMES) -> list[str]:
    return [sys.executable, "-c", COMMAND, "record", "doom", "--out", str(out), *options, str(frames)]


def run(out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(arguments(out, *options), capture_output=True, text=True, check=False)


def until(condition: Callable[[], object]) -> None:
    for _ in range(LOOKS):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("this did not happen")


@contextmanager
def recording(out: Path) -> Iterator["subprocess.Popen[str]"]:
    """Two workers that would record for long, once a first episode is whole and another under way."""
    command = arguments(out, "--episodes", "1000", "--workers", "2")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: process.poll() is not None or (episodes(out) and unfinished(out)))
            yield process
        finally:
            process.kill()


def episodes(out: Path) -> list[Path]:
    return sorted(out.glob("hdf5_doom_*.hdf5"))


def unfinished(out: Path) -> list[Path]:
    return [path for path in out.glob(".*") if path.is_file()]


def runs(process: psutil.Process) -> bool:
    """Whether a process is there and has not ended, be it that nobody asked for its exit code yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_a_signal_keeps_whole_episodes_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with recording(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGINT
    assert errors.splitlines()[-1] == "interrupted: progress is saved, run the same command again to continue"
    assert "Traceback" not in errors
    assert not unfinished(tmp_path)
    kept = episodes(tmp_path)
    assert {read_facts(path).frames for path in kept} == {FRAMES}
    before = {path: path.stat().st_mtime_ns for path in kept}
    again = run(tmp_path, "--episodes", str(max(int(path.stem.rpartition("_")[2]) for path in kept)))
    assert again.returncode == 0, again.stderr
    assert before.items() <= {path: path.stat().st_mtime_ns for path in episodes(tmp_path)}.items()


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    with recording(tmp_path) as process:
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) >= 4  # two workers, each with a game
        process.kill()
        process.communicate(timeout=600)
    until(lambda: not any(map(runs, below)))
    assert not unfinished(tmp_path)
    assert {read_facts(path).frames for path in episodes(tmp_path)} == {FRAMES}


@pytest.mark.slow
def test_a_disk_that_fills_up_midway_is_one_line_and_leaves_no_part(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))

    command = arguments(tmp_path, "--episodes", "2", frames=LARGEST_FILE // BYTES_PER_FRAME * 3 // 2)
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {os.strerror(errno.EFBIG)}: {tmp_path / 'hdf5_doom_1.hdf5'}"
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--episodes", "0"), "--episodes"),
        (("--episodes", "1", "--workers", "0"), "--workers"),
    ],
)
def test_wrong_usage(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = diamond_train("record", "doom", "--out", tmp_path, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list(tmp_path.iterdir())
