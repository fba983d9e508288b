"""A run as a process: started, restarted if it was killed, stopped with a checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOG = "log.txt"
TAIL_BYTES = 4096


@dataclass(frozen=True)
class Order:
    """An order for a run."""

    name: str
    """Its name for a person."""
    folder: Path
    """Folder of the run; output is appended to ``log.txt`` there."""
    arguments: tuple[str, ...]
    """Arguments of ``diamond-train``."""
    retries: int
    """Number of restarts after it was killed."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run."""

    good: bool
    """Whether it is finished."""
    line: str = ""
    """Its last line, if it is not finished."""


class Job:
    """The process of an order. A run that ends by itself is not restarted: it would end in the same way."""

    def __init__(self, order: Order, environment: Mapping[str, str]) -> None:
        """Starts it; ``environment`` is added to this process's."""
        self.order = order
        self._environment = {**os.environ, **environment}
        self._killed = 0
        self._stopped = False
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.order.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "training.suite.child", *self.order.arguments]
        with (self.order.folder / LOG).open("ab") as log:
            return subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the suite, which signals every job once
            )

    def poll(self) -> Outcome | None:
        """Its outcome, None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self._close()
        if code == 0:
            return Outcome(True)
        if code > 0 or self._stopped:
            return Outcome(False, self._last_line())
        self._killed += 1
        if self._killed > self.order.retries:
            return Outcome(False, f"killed {self._killed} times, at last by signal {-code} (out of memory?)")
        self._process = self._start()
        return None

    def stop(self) -> None:
        """Asks it to save and end."""
        if not self._stopped:
            self._stopped = True
            self._process.terminate()

    def kill(self) -> None:
        """Ends it at once."""
        self._stopped = True
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _last_line(self) -> str:
        path = self.order.folder / LOG
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it said nothing in {path}"
