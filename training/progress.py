"""What a person sees of a long command: a bar in a terminal, an occasional plain line in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_LINE_SECONDS = 60.0

Show = Callable[[int], None]
"""Takes how much is done."""


def make_console() -> Console:
    """Standard error, printed to verbatim: no markup, no line breaks of its own."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Such as ``2:05:00``."""
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def progress(console: Console, what: str, total: int, done: int = 0) -> Iterator[Show]:
    """Yields a function to call with the amount done of ``total``; ``done`` was there before."""
    if not console.is_terminal:
        yield _PlainLines(console, what, total, done)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("eta"), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda now_done: bar.update(task, completed=now_done)


class _PlainLines:
    """Prints a line a minute, and one when all is done."""

    def __init__(self, console: Console, what: str, total: int, done: int) -> None:
        self._console = console
        self._what = what
        self._total = total
        self._before = done
        self._started = self._printed = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if done < self._total and now - self._printed < PLAIN_LINE_SECONDS:
            return
        self._printed = now
        elapsed = now - self._started
        left = elapsed / max(1, done - self._before) * max(0, self._total - done)
        self._console.print(
            f"{self._what} {done}/{self._total}, {duration(elapsed)} elapsed, about {duration(left)} left"
        )
