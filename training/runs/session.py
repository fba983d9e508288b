"""Where and how a command runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from diamond_engine.runtime import Runtime
from training.runs.progress import make_console
from training.runs.workers import ALONE, Workers


@dataclass(frozen=True)
class Session:
    """What all commands that make something have in common."""

    out: Path
    """Folder to write to; what is there is continued."""
    seed: int
    """Of all randomness."""
    runtime: Runtime
    """Where to compute."""
    time_budget: float | None = None
    """Seconds after which to save and stop."""
    console: Console = field(default_factory=make_console)
    """Where to tell how it goes."""
    workers: Workers = ALONE
    """The processes that share the work."""
