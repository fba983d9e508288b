"""The session thread: limits, errors, pauses, and what it reports."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diamond_engine.errors import DiamondError
from diamond_engine.games import Button
from play.runner import Pacer, SessionThread
from play.session import Session, Settings
from play.sources import Start
from play.view import Command, Snapshot
from tests.play.stages import make_session

PATIENCE = 60.0


def test_it_plays_to_its_limit_and_reports(world_folder: Path) -> None:
    frames: list[np.ndarray] = []
    threads: set[int] = set()

    def load(progress: Callable[[str], None]) -> Session:
        threads.add(threading.get_ident())
        return make_session(world_folder, Settings(Start(4)))

    def on_frame(frame: np.ndarray) -> None:
        threads.add(threading.get_ident())
        frames.append(frame)

    session = SessionThread(load, seed=4, limit=7, on_frame=on_frame)
    session.start()
    assert session.finished.wait(PATIENCE)
    session.raise_error()
    assert len(frames) == 7
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert isinstance(session.view, Snapshot)
    assert np.array_equal(session.view.frame, frames[-1])
    assert session.report is not None
    assert (session.report.frames, session.report.seed) == (7, 4)


def test_taps_made_before_a_step_are_in_it(world_folder: Path) -> None:
    session = SessionThread(lambda progress: make_session(world_folder), seed=0, limit=1)
    session.latch.press("d", Button.RIGHT)
    session.latch.release("d")
    session.start()
    assert session.finished.wait(PATIENCE)
    assert isinstance(session.view, Snapshot)
    assert session.view.action == "RIGHT"


def test_what_goes_wrong_there_is_raised_here() -> None:
    def load(progress: Callable[[str], None]) -> Session:
        raise DiamondError("no such world")

    session = SessionThread(load, seed=0)
    session.start()
    assert session.finished.wait(PATIENCE)
    with pytest.raises(DiamondError, match="no such world"):
        session.raise_error()
    assert session.report is None


def test_a_paused_session_waits_for_commands_and_can_be_stopped(world_folder: Path) -> None:
    steps = threading.Semaphore(0)
    session = SessionThread(lambda progress: make_session(world_folder), seed=0, on_frame=lambda frame: steps.release())
    session.send(Command.PAUSE)
    session.start()
    session.send(Command.SINGLE_STEP)
    session.send(Command.RESET)
    assert steps.acquire(timeout=PATIENCE)
    session.send(Command.SINGLE_STEP)
    assert steps.acquire(timeout=PATIENCE)
    assert session.stop(PATIENCE)
    assert session.report is not None
    assert session.report.frames == 2


def test_a_late_step_is_counted_and_not_caught_up() -> None:
    pacer = Pacer(frame_rate=1e9)  # every step is late by then
    for _ in range(5):
        pacer.wait()
    assert pacer.misses == 4
    pacer.pause()
    pacer.wait()
    assert pacer.misses == 4
