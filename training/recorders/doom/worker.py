"""What a recording process does, and how it and the one that started it talk. Imports no torch: it starts at once."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import SpawnContext
from pathlib import Path

from training.recorders.doom.episode import WHOLE_GAME, episode_path, record_episode
from training.recorders.doom.style import Style


class _Stopped(Exception):  # noqa: N818 - it is no error
    """The recording shall end at once."""


class Signals:
    """What is shared between the recording processes and the one that started them."""

    def __init__(self, context: SpawnContext) -> None:
        self.stop = context.Event()
        """Set when all shall end at once."""
        self.frames = context.Value("q", 0)
        """Frames recorded by all processes."""
        self._failures = context.SimpleQueue()

    def fail(self, reason: str) -> None:
        """Tells why a process ends."""
        self._failures.put(reason)

    def failure(self) -> str | None:
        """The first reason told, if any."""
        return None if self._failures.empty() else str(self._failures.get())


def record_numbers(
    folder: Path, seed: int, numbers: list[int], frames: int, signals: Signals, style: Style = WHOLE_GAME
) -> None:
    """Records episodes one after the other; ends with exit code 1 after telling why it failed."""
    os.setsid()  # Ctrl-C in a terminal then reaches the starting process alone, which says when to stop
    parent = multiprocessing.parent_process()

    def on_frame() -> None:
        with signals.frames.get_lock():
            signals.frames.value += 1
        if signals.stop.is_set() or (parent is not None and not parent.is_alive()):
            raise _Stopped

    try:
        for number in numbers:
            record_episode(episode_path(folder, number), seed, number, frames, on_frame, style)
    except _Stopped:
        return
    except Exception as error:  # whatever it is, it is told in one line by the starting process
        signals.fail(_reason(error, folder))
        raise SystemExit(1) from None


def _reason(error: BaseException, folder: Path) -> str:
    """One line; of a file that cannot be written what the system said, which HDF5 buries in a text of its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return f"{os.strerror(cause.errno)}: {cause.filename or folder}"
        cause = cause.__context__
    return f"recording Doom failed: {type(error).__name__}: {' '.join(str(error).split())}"
