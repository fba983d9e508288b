"""The session of a command: folder, seed, device, time budget, output."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from diamond_engine.runtime import Runtime
from training.runs.progress import make_console
from training.runs.workers import ALONE, Workers


@dataclass(frozen=True)
class Session:
    """Settings common to all commands that write something."""

    out: Path
    """Folder to write to; a run in it is continued."""
    seed: int
    """Seed of all randomness."""
    runtime: Runtime
    """Device and precision."""
    time_budget: float | None = None
    """Seconds after which to save and stop."""
    console: Console = field(default_factory=make_console)
    """Console for messages and progress."""
    workers: Workers = ALONE
    """The processes that share the work."""
