"""Launches a session on its thread, with or without a window, and writes the files it leaves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from diamond_engine.errors import DiamondError
from play.genres import file_name, genre_of, shown_from
from play.headless import watch
from play.options import Options, Outputs, check
from play.report import Report, write_report
from play.runner import SessionThread
from play.video import VideoWriter
from play.view import Player
from play.window import has_display, show

if TYPE_CHECKING:
    from play.session import Session

HEADLESS_SECONDS = 20
PATIENCE_SECONDS = 5.0


def play(options: Options, outputs: Outputs, console: Console) -> None:
    """Plays. Without a display it plays headless and always writes a video.

    Raises ``UsageError`` and ``DiamondError``; on any error neither video nor report is left.
    """
    check(options, outputs)
    frame_rate = options.game.frame_rate
    if not outputs.headless and not has_display():
        video = outputs.video or Path(f"diamond-{file_name(options.world)}.mp4")
        console.print(f"no display: playing without one, the video goes to {video}", highlight=False, soft_wrap=True)
        outputs = replace(outputs, headless=True, video=video)
    if outputs.headless:
        outputs = replace(outputs, frames=outputs.frames or round(HEADLESS_SECONDS * frame_rate))
    elif options.player is None:
        options = replace(options, player=Player.PERSON)
    with nullcontext() if outputs.video is None else VideoWriter(outputs.video, frame_rate) as writer:
        report = _run(options, outputs, writer, console)
    if outputs.report is not None:
        if report is None:
            raise DiamondError("nothing was played: there is nothing to report")
        write_report(outputs.report, report)
    if report is not None:
        written = "".join(f", wrote {path}" for path in (outputs.video, outputs.report) if path is not None)
        line = f"{report.frames} frames at {report.fps:.1f} frames/s on {report.runtime}{written}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _run(options: Options, outputs: Outputs, writer: VideoWriter | None, console: Console) -> Report | None:
    on_frame = writer.write if writer is not None else lambda frame: None
    session = SessionThread(partial(load, options), options.seed, limit=outputs.frames, on_frame=on_frame)
    session.start()
    try:
        if outputs.headless and outputs.frames is not None:
            watch(session, outputs.frames, console)
        else:
            show(session, shown_from(genre_of(options.game), options.origin), options.sensitivity)
    finally:
        session.stop(PATIENCE_SECONDS)
    session.raise_error()
    return session.report


def load(options: Options, progress: Callable[[str], None]) -> Session:
    """Loads a session on its own thread, so that the window shows progress while torch is imported."""
    progress("loading torch")
    from play.stage import load_session

    return load_session(options, progress)
