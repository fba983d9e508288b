"""Makes the unfinished runs of a suite (``diamond-train suite``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console

from diamond_engine.errors import DiamondError
from training.algorithm.presets import PRESETS
from training.runs.lock import alone_in
from training.runs.signals import Interrupted, stop_signals
from training.suite.board import Board, shown_score
from training.suite.jobs import LOG, Order, Outcome
from training.suite.machine import Place
from training.suite.plan import Plan, SuiteRun


def conduct(plan: Plan, out: Path, place: Place, retries: int, console: Console) -> None:
    """Makes all unfinished runs. A failed run does not stop the others.

    Raises ``DiamondError`` if runs failed, once all have ended, and ``Interrupted`` after a signal, once all are saved.
    """
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(out), closing(place), stop_signals() as received, Board(plan, console) as board:
        left = plan.left()
        _say_cost(plan, left, out, place, console)
        orders = {_order(run, plan, retries): run for run in left}
        for order in orders:
            place.submit(order)
        stopping = False
        while place.busy:
            for order, outcome in place.ended():
                _note(orders[order], outcome, board, console, stopping)
            if received and not stopping:
                stopping = True
                console.print("stopping: every run saves first")
                place.stop()
            board.refresh()
    if received:
        raise Interrupted(received[0])
    if board.failed:
        raise DiamondError(
            f"{len(board.failed)} of {len(left)} runs failed (above; all they said is in their {LOG}): "
            "run the same command again to continue them"
        )


def _order(run: SuiteRun, plan: Plan, retries: int) -> Order:
    return Order(run.name, run.folder, tuple(run.arguments(plan.options)), retries)


def _say_cost(plan: Plan, left: Sequence[SuiteRun], out: Path, place: Place, console: Console) -> None:
    total, begun = len(plan.runs), sum(run.begun for run in left)
    console.print(
        f"{len(plan.games)} games x {len(plan.seeds)} seeds in {out}: {total} runs, {total - len(left)} finished, "
        f"{begun} begun, {len(left) - begun} to begin"
    )
    console.print(f"preset {plan.options.preset}: {PRESETS[plan.options.preset].expectation}")
    if left:
        rounds = math.ceil(len(left) / place.slots)
        console.print(
            f"{place.slots} at once ({place.describe()}): {len(left)} runs take the time of {rounds}, one after the "
            f"other; each says in its {LOG} what it costs"
        )


def _note(run: SuiteRun, outcome: Outcome, board: Board, console: Console, stopping: bool) -> None:
    if outcome.good:
        console.print(f"{run.name}: finished, score {shown_score(run) or 'not to be seen from here yet'}")
    elif not stopping:
        board.failed[run] = outcome.line
        console.print(f"{run.name}: failed: {outcome.line.removeprefix('error: ')}")
