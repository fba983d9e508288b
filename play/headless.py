"""Play without a display, on the same session thread."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from play.runner import SessionThread
from play.view import Loading

REFRESH_SECONDS = 0.1


def watch(session: SessionThread, frames: int, console: Console) -> None:
    """Returns when the session has finished. Shows the loading steps, then how many of ``frames`` were played."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=frames)
        while not session.finished.is_set():
            view = session.view
            if isinstance(view, Loading):
                progress.update(task, description=view.line)
            else:
                progress.update(task, description="playing", completed=view.frames)
            time.sleep(REFRESH_SECONDS)
