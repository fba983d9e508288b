"""The session thread: it alone owns model and emulator, keeps the world's rate, and publishes views."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diamond_engine.runtime import ThreadChoice
from play.latch import InputLatch
from play.report import Meter, Report
from play.view import Command, Loading, Snapshot

if TYPE_CHECKING:
    from play.session import Session

Load = Callable[[Callable[[str], None]], "Session"]
"""Makes a session and reports each loading step in one line."""


class _StopError(Exception):
    """Cancels the loading between two steps."""


class Pacer:
    """Spaces steps by a period. Late steps are not caught up, so that input is never queued."""

    def __init__(self, frame_rate: float) -> None:
        self.misses = 0
        """Number of steps that began late because the one before had not ended."""
        self._period = 1 / frame_rate
        self._due: float | None = None

    def wait(self) -> None:
        """Returns when the next step is due; at once if it is overdue."""
        now = time.perf_counter()
        if self._due is None:
            self._due = now
        elif now > self._due:
            self.misses += 1
            self._due = now
        else:
            time.sleep(self._due - now)
        self._due += self._period

    def pause(self) -> None:
        """Restarts the clock at the next step."""
        self._due = None


class SessionThread:
    """Runs one session on its own thread until stopped, or until ``limit`` frames were played.

    That thread calls ``on_frame`` with every frame, uint8 ``(H, W, 3)``, and ``on_view`` when the view has changed or
    the session has ended.
    """

    def __init__(
        self,
        load: Load,
        seed: int,
        *,
        limit: int | None = None,
        on_frame: Callable[[NDArray[np.uint8]], None] = lambda frame: None,
        on_view: Callable[[], None] = lambda: None,
    ) -> None:
        self.latch = InputLatch()
        self.view: Loading | Snapshot = Loading("starting")
        """The current view: an immutable value, replaced as a whole."""
        self.report: Report | None = None
        """The report, set at the end if a step was played."""
        self.finished = threading.Event()
        self._load, self._seed, self._limit = load, seed, limit
        self._on_frame, self._on_view = on_frame, on_view
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    def start(self) -> None:
        """Starts the thread, which loads and then plays."""
        self._thread.start()

    def send(self, command: Command) -> None:
        """Queues a command for the session; it is carried out before the next step."""
        self._commands.put(command)

    def stop(self, patience: float) -> bool:
        """Asks the thread to end and waits up to ``patience`` seconds; returns whether it did."""
        self._stopping.set()
        self._commands.put(None)
        self._thread.join(patience)
        return not self._thread.is_alive()

    def raise_error(self) -> None:
        """Raises the error of the session thread, if there was one."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            session = self._load(self._show_progress)
            try:
                with ThreadChoice() as threads:
                    self._play(session, threads)
            finally:
                session.close()
        except _StopError:
            pass
        except BaseException as error:  # for raise_error, on the thread that waits
            self._error = error
        finally:
            self.finished.set()
            self._on_view()

    def _show_progress(self, line: str) -> None:
        if self._stopping.is_set():
            raise _StopError
        self.view = Loading(line)
        self._on_view()

    def _play(self, session: Session, threads: ThreadChoice) -> None:
        pacer, meter = Pacer(session.stage.frame_rate), Meter(session.stage.frame_rate)
        self._publish(session, meter)
        while not self._stopping.is_set() and session.frames != self._limit:
            if session.paused:
                pacer.pause()
                meter.pause()
                self._obey(session, self._commands.get())
            else:
                pacer.wait()
            while not self._commands.empty():
                self._obey(session, self._commands.get())
            if session.due and not self._stopping.is_set():
                began = time.perf_counter()
                with threads.step() if session.runtime.same_on_any_threads else nullcontext():
                    frame = session.advance(self.latch.read())
                meter.add(began, session.stage_ms, session.runtime.compiled)
                self._on_frame(frame)
            self._publish(session, meter)
        if session.frames > 0:
            self.report = meter.report(session, self._seed, pacer.misses)

    @staticmethod
    def _obey(session: Session, command: Command | None) -> None:
        if command is not None:  # None only wakes the thread
            session.obey(command)

    def _publish(self, session: Session, meter: Meter) -> None:
        step_ms = meter.step_ms[-1] if meter.step_ms else 0.0
        self.view = replace(session.snapshot(), fps=meter.recent_fps, step_ms=step_ms)
        self._on_view()
