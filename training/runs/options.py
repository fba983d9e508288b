"""Options that commands share, and the session made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diamond_engine.errors import UsageError
from diamond_engine.runtime import Runtime
from training.runs.progress import make_console
from training.runs.session import Session
from training.runs.workers import ALONE, Workers

GameName = Annotated[
    str,
    typer.Argument(
        metavar="GAME",
        help="Atari game, such as Breakout, or a Gymnasium environment: gym:CartPole-v1, one's own as module:Env-v0.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(file_okay=False, help="Folder to write to; a run that is there continues.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all randomness.")]
Device = Annotated[str, typer.Option(help="Torch device to compute on, or 'auto' for the fastest.")]
Dtype = Annotated[str, typer.Option(help="Precision: auto, float32 or bfloat16.")]
TimeBudget = Annotated[
    float | None,
    typer.Option(metavar="MINUTES", help="Save and stop after so long; run again to go on.", show_default=False),
]
NumEnvs = Annotated[int, typer.Option(help="Games side by side.")]


def open_session(
    out: Path, seed: int, time_budget: float | None, device: str, dtype: str, workers: Workers = ALONE
) -> Session:
    """Makes a session from the options.

    Raises ``UsageError`` for a time budget of 0, and if torchrun started a command that runs in one process only.
    """
    check_positive(time_budget=time_budget)
    if (started := Workers.of_environment().count) != workers.count:
        raise UsageError(f"torchrun started {started} processes: only world-model and csgo take several")
    seconds = None if time_budget is None else 60 * time_budget
    runtime = Runtime.choose(workers.device(device), dtype)
    return Session(out, seed, runtime, seconds, make_console(quiet=not workers.leads), workers)


def check_positive(**options: float | None) -> None:
    """Raises ``UsageError`` naming the first of these options (by parameter name) that is 0 or less."""
    for name, value in options.items():
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be more than 0, not {value}")
