"""Plays a session file again and holds every frame against the recorded one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from diamond_engine.emulator import FRAMES_PER_SECOND
from diamond_engine.errors import DiamondError
from play.atari import AtariWorld
from play.options import AtariOptions
from play.recording import EpisodeLog, Header, Recording, digest, read_recording
from play.sources import Source
from play.video import VideoWriter
from play.view import Origin

Frame = NDArray[np.uint8]


def replay_recording(path: Path, console: Console, video: Path | None = None, **overrides: str | None) -> None:
    """Replays a session file with a progress bar, and into a video where one is asked for; see ``replay``.

    Raises ``DiamondError`` where the file is damaged or a frame differs; then there is no video.
    """
    recording = read_recording(path)
    options = options_of(recording.header, **overrides)
    total = sum(len(episode.actions) for episode in recording.episodes)
    with nullcontext() if video is None else VideoWriter(video, FRAMES_PER_SECOND) as writer:
        for frame in track(replay(recording, options), "replaying", total, console=console, transient=True):
            if writer is not None:
                writer.write(frame)
    console.print(f"{total} frames in {len(recording.episodes)} episodes, all identical to the recording")


def replay(recording: Recording, options: AtariOptions) -> Iterator[Frame]:
    """Yields the frames ``(H, W, 3)`` that the recorded actions lead to.

    Raises ``DiamondError`` at the first frame that is not identical to the recorded one.
    """
    loaded = AtariWorld.load(options)
    openers: dict[Origin, Callable[[], Source]] = {Origin.DREAM: loaded.dream, Origin.EMULATOR: loaded.emulator}
    opened: dict[Origin, Source] = {}
    try:
        for number, episode in enumerate(recording.episodes, 1):
            if max(episode.actions, default=0) >= len(loaded.world.game.actions) or min(episode.actions, default=0) < 0:
                raise DiamondError(f"episode {number} holds actions that {loaded.world.game.name} does not have")
            source = opened.get(episode.origin) or opened.setdefault(episode.origin, openers[episode.origin]())
            yield from _replay_episode(source, episode, f"episode {number}", recording.header, loaded.header)
    finally:
        for source in opened.values():
            source.close()


def options_of(header: Header, **overrides: str | None) -> AtariOptions:
    """The options a session was recorded under; those in ``overrides`` that are not None take their place."""
    options = AtariOptions(
        game=header.world.removeprefix("atari/"),
        weights=header.weights,
        preset=header.preset,
        steps=header.steps,
        device=header.device,
        dtype=header.dtype,
    )
    return replace(options, **{name: value for name, value in overrides.items() if value is not None})


def _replay_episode(source: Source, log: EpisodeLog, name: str, recorded: Header, here: Header) -> Iterator[Frame]:
    _compare(source.reset(log.seed), log.digests[0], f"the start of {name}", recorded, here)
    for step, (action, expected) in enumerate(zip(log.actions, log.digests[1:], strict=True), 1):
        frame = source.step(action).frame
        _compare(frame, expected, f"frame {step} of {name}", recorded, here)
        yield frame


def _compare(frame: Frame, expected: int, where: str, recorded: Header, here: Header) -> None:
    if digest(frame) == expected:
        return
    then, now = _described(recorded), _described(here)
    reason = f"recorded with {then}, replayed with {now}" if then != now else f"other weights than then? ({now})"
    raise DiamondError(f"{where} differs from the recording: {reason}")


def _described(header: Header) -> str:
    return f"{header.device}, {header.dtype}, torch {header.torch}"
