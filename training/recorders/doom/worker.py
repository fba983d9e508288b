"""A recording process and its communication with the parent. Imports no torch, so that it starts quickly."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import SpawnContext
from pathlib import Path

from training.recorders.doom.episode import WHOLE_GAME, episode_path, record_episode
from training.recorders.doom.style import Style


class _Stopped(Exception):  # noqa: N818 - it is no error
    """The recording must end at once."""


class Signals:
    """State shared between the recording processes and their parent."""

    def __init__(self, context: SpawnContext) -> None:
        self.stop = context.Event()
        """Set when all must end at once."""
        self.frames = context.Value("q", 0)
        """Frames recorded by all processes."""
        self._failures = context.SimpleQueue()

    def fail(self, reason: str) -> None:
        """Reports why a process ends."""
        self._failures.put(reason)

    def failure(self) -> str | None:
        """The first reported reason, if any."""
        return None if self._failures.empty() else str(self._failures.get())


def record_numbers(
    folder: Path, seed: int, numbers: list[int], frames: int, signals: Signals, style: Style = WHOLE_GAME
) -> None:
    """Records episodes one after the other; on failure reports the reason and exits with 1."""
    os.setsid()  # Ctrl-C in a terminal then reaches only the parent, which says when to stop
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
    except Exception as error:  # the parent prints any error in one line
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
