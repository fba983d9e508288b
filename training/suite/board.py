"""The table of a suite: a row a game, a column a seed, in each cell the score or the progress of the run."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.table import Table

from diamond_engine.errors import DiamondError
from training.suite.plan import Plan, SuiteRun

REDRAW_SECONDS = 2.0


def table(plan: Plan, failed: Mapping[SuiteRun, str]) -> Table:
    """The current table of all runs; ``failed`` ones with their last line."""
    shown = Table("game", *(f"seed {seed}" for seed in plan.seeds), "mean")
    for name in plan.games:
        runs = [run for run in plan.runs if run.game.name == name]
        scores = [score for run in runs if (score := _score(run)) is not None]
        mean = f"{sum(scores) / len(scores):,.1f}" if scores else "–"
        shown.add_row(name, *("failed" if run in failed else _state(run) for run in runs), mean)
    return shown


def shown_score(run: SuiteRun) -> str | None:
    """Its final score as text; None if there is none."""
    return None if (score := _score(run)) is None else f"{score:,.1f}"


def _score(run: SuiteRun) -> float | None:
    try:
        return run.score
    except DiamondError:  # a damaged file of one run must not end the others
        return None


def _state(run: SuiteRun) -> str:
    if (score := shown_score(run)) is not None:
        return score
    if (epoch := run.epoch) is not None:
        return f"epoch {epoch}"
    return "begun" if run.begun else "–"


class Board:
    """Shows the table: live in a terminal, once at the end in a log file."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self.failed: dict[SuiteRun, str] = {}
        self._plan = plan
        self._console = console
        self._drawn = time.monotonic()
        self._live = Live(table(plan, self.failed), console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._console.print(table(self._plan, self.failed))

    def refresh(self) -> None:
        """Redraws it at intervals."""
        if self._console.is_terminal and time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._live.update(table(self._plan, self.failed), refresh=True)
