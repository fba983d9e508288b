"""Progress of a long command: a bar in a terminal, an occasional plain line in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

PLAIN_LINE_SECONDS = 60.0

Show = Callable[[int], None]
"""Called with the amount done."""
ShowStage = Callable[[str, int, int, str], None]
"""Called with a stage of the work, how much of it is done, its total, and the estimated time left."""


def make_console(quiet: bool = False) -> Console:
    """Standard error, printed verbatim: no markup, no added line breaks."""
    return Console(stderr=True, quiet=quiet, markup=False, highlight=False, emoji=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Such as ``2:05:00``."""
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def progress(console: Console, what: str, total: int, done: int = 0, *, in_bytes: bool = False) -> Iterator[Show]:
    """Yields a function to call with the amount done of ``total``; ``done`` is the amount at the start.

    Amounts are shown as numbers or as bytes.
    """
    if not console.is_terminal:
        yield _PlainLines(console, what, total, done, decimal if in_bytes else str)
        return
    counted = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *counted, TimeElapsedColumn())
    with Progress(*columns, TextColumn("eta"), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda now_done: bar.update(task, completed=now_done)


class _PlainLines:
    """Prints a line a minute, and one at the end."""

    def __init__(self, console: Console, what: str, total: int, done: int, shown: Callable[[int], str]) -> None:
        self._console = console
        self._what = what
        self._shown = shown
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
            f"{self._what} {self._shown(done)}/{self._shown(self._total)}, {duration(elapsed)} elapsed, "
            f"about {duration(left)} left"
        )


@contextmanager
def stages(console: Console) -> Iterator[ShowStage]:
    """Yields a function to call with the state of work in stages."""
    if not console.is_terminal:
        yield _PlainStages(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[left]}"), console=console) as bar:
        task = bar.add_task("", total=None, left="")

        def show(stage: str, done: int, total: int, left: str) -> None:
            bar.update(task, description=stage, completed=done, total=total, left=left)

        yield show


class _PlainStages:
    """Prints a line a minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._printed = time.monotonic()

    def __call__(self, stage: str, done: int, total: int, left: str) -> None:
        now = time.monotonic()
        if now - self._printed >= PLAIN_LINE_SECONDS:
            self._printed = now
            self._console.print(f"{stage} {done}/{total}, {duration(now - self._started)} elapsed, {left}")


class Pace:
    """Estimates the time left from the mean time of each kind of work since the start.

    The first piece of a kind is not counted: it includes one-time work.
    """

    def __init__(self) -> None:
        self._pieces: dict[str, int] = {}
        self._seconds: dict[str, float] = {}

    def note(self, kind: str, seconds: float) -> int:
        """Counts one piece of work; returns the count of its kind."""
        counted = self._pieces.get(kind, -1) + 1
        self._pieces[kind] = counted
        self._seconds[kind] = self._seconds.get(kind, 0.0) + (seconds if counted else 0.0)
        return counted

    def seconds(self, kind: str) -> float:
        """Mean seconds of a piece; 0 for a kind not seen yet."""
        return self._seconds.get(kind, 0.0) / max(1, self._pieces.get(kind, 0))

    def left(self, pieces: Mapping[str, int]) -> str:
        """Time for so many pieces of each kind, such as ``about 0:20:00 left``, as far as known."""
        known = all(self._pieces.get(kind, 0) > 0 for kind, count in pieces.items() if count)
        seconds = sum(self.seconds(kind) * count for kind, count in pieces.items())
        if seconds == 0.0 and not known:
            return "time left not known yet"
        return f"{'about' if known else 'more than'} {duration(seconds)} left"
