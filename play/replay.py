"""Plays a session file again and holds every frame against the recorded one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

from diamond_engine.errors import DiamondError
from play.genres import genre_of
from play.options import Options
from play.recording import EpisodeLog, Header, Recording, digest, read_recording
from play.sources import Source
from play.stage import LoadedWorld
from play.video import VideoWriter
from play.view import Frame, Origin


def replay_recording(path: Path, console: Console, video: Path | None = None, **overrides: str | None) -> None:
    """Replays a session file with a progress bar, and into a video where one is asked for; see ``replay``.

    Raises ``DiamondError`` where the file is damaged or a frame differs; then there is no video.
    """
    recording = read_recording(path)
    options = options_of(recording.header, **overrides)
    loaded = LoadedWorld.load(options, lambda line: console.print(line, highlight=False, soft_wrap=True))
    total = sum(len(episode.actions) for episode in recording.episodes)
    with nullcontext() if video is None else VideoWriter(video, loaded.world.config.frame_rate) as writer:
        for frame in track(replay(recording, loaded), "replaying", total, console=console, transient=True):
            if writer is not None:
                writer.write(frame)
    console.print(f"{total} frames in {len(recording.episodes)} episodes, all identical to the recording")


def replay(recording: Recording, loaded: LoadedWorld) -> Iterator[Frame]:
    """Yields the frames ``(H, W, 3)`` that the recorded actions lead to in a loaded world.

    Raises ``DiamondError`` at the first frame that is not identical to the recorded one, and where the recording holds
    what the world does not have.
    """
    openers = loaded.sources
    opened: dict[Origin, Source] = {}
    try:
        for number, episode in enumerate(recording.episodes, 1):
            name = f"episode {number}"
            _check(episode, name, loaded)
            source = opened.get(episode.origin) or opened.setdefault(episode.origin, openers[episode.origin]())
            yield from _replay_episode(source, episode, name, recording.header, loaded.header)
    finally:
        for source in opened.values():
            source.close()


def options_of(header: Header, **overrides: str | None) -> Options:
    """The options a session was recorded under; those in ``overrides`` that are not None take their place."""
    options = Options(
        world=header.world,
        weights=header.weights,
        preset=header.preset,
        steps=header.steps,
        upsampler_steps=header.upsampler_steps or None,
        device=header.device,
        dtype=header.dtype,
    )
    return replace(options, **{name: value for name, value in overrides.items() if value is not None})


def _check(episode: EpisodeLog, name: str, loaded: LoadedWorld) -> None:
    genre = genre_of(loaded.header.world)
    if not all(genre.actions.holds(action) for action in episode.actions):
        raise DiamondError(f"{name} holds actions that {genre.title} does not have")
    if episode.origin not in loaded.sources:
        raise DiamondError(f"{name} was played in the real emulator, which {genre.title} does not have")
    spawns = 0 if loaded.world.spawns is None else len(loaded.world.spawns)
    if episode.start.spawn is not None and episode.start.spawn not in range(spawns):
        raise DiamondError(f"{name} starts from spawn {episode.start.spawn}: these weights have {spawns} spawns")


def _replay_episode(source: Source, log: EpisodeLog, name: str, recorded: Header, here: Header) -> Iterator[Frame]:
    _compare(source.reset(log.start).frame, log.digests[0], f"the start of {name}", recorded, here)
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
