"""The replay viewer: plays a recorded session back and compares every frame with the recorded one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

from diamond_engine.errors import DiamondError
from diamond_engine.runtime import Runtime
from play.genres import genre_of
from play.options import Options
from play.recording import EpisodeLog, Header, Recording, digest, read_recording
from play.sources import Source
from play.stage import LoadedWorld
from play.video import VideoWriter
from play.view import Frame, Origin


def replay_recording(path: Path, console: Console, video: Path | None = None, **overrides: str | None) -> None:
    """Replays a session file with a progress bar, and into a video on request; see ``replay``.

    Raises ``DiamondError`` if the file is damaged or a frame differs; then there is no video.
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
    """Yields the frames ``(H, W, 3)`` of the recorded actions in a loaded world, which must not be compiled.

    Kernels built for the machine draw the frames they drew before. Raises ``DiamondError`` at the first frame that
    differs from the recorded one, and for actions or starts that the world does not have.
    """
    replayer = _Replayer(recording, loaded)
    try:
        for number, episode in enumerate(recording.episodes, 1):
            _check(episode, f"episode {number}", loaded)
            yield from replayer.play(episode, f"episode {number}")
    finally:
        replayer.close()


class _Replayer:
    """Plays logged episodes back."""

    def __init__(self, recording: Recording, loaded: LoadedWorld) -> None:
        compiled = any(episode.compiled_from is not None for episode in recording.episodes)
        self._openers = loaded.sources
        self._opened: dict[Origin, Source] = {}
        self._plain = loaded.runtime
        self._compiled = loaded.runtime.with_kernels() if compiled else loaded.runtime
        self._then = _described(recording.header, "compiled" if compiled else "")
        note = "compiled" if self._compiled.compiled else self._compiled.notes[-1] if compiled else ""
        self._now = _described(loaded.header, note)

    def play(self, log: EpisodeLog, name: str) -> Iterator[Frame]:
        """Yields the frames of an episode after its start."""
        source = self._source(log.origin, self._compiled if log.compiled_from == 0 else self._plain)
        self._compare(source.reset(log.start).frame, log.digests[0], f"the start of {name}")
        for step, (action, expected) in enumerate(zip(log.actions, log.digests[1:], strict=True)):
            if step == log.compiled_from:
                source.run_on(self._compiled)
            frame = source.step(action).frame
            self._compare(frame, expected, f"frame {step + 1} of {name}")
            yield frame

    def close(self) -> None:
        """Closes the sources."""
        for source in self._opened.values():
            source.close()

    def _source(self, origin: Origin, runtime: Runtime) -> Source:
        if origin in self._opened:
            self._opened[origin].run_on(runtime)
        else:
            self._opened[origin] = self._openers[origin](runtime)
        return self._opened[origin]

    def _compare(self, frame: Frame, expected: int, where: str) -> None:
        if digest(frame) == expected:
            return
        differ = self._then != self._now
        reason = f"recorded with {self._then}, replayed with {self._now}" if differ else f"other weights? ({self._now})"
        raise DiamondError(f"{where} differs from the recording: {reason}")


def _described(header: Header, kernels: str) -> str:
    return ", ".join((header.device, header.dtype, f"torch {header.torch}", *([kernels] if kernels else [])))


def options_of(header: Header, **overrides: str | None) -> Options:
    """The options of a replay: those of the session, replaced by ``overrides`` that are not None.

    They use torch's kernels only: ``replay`` swaps to others where the session did.
    """
    options = Options(
        world=header.world,
        weights=header.weights,
        preset=header.preset,
        steps=header.steps or None,
        upsampler_steps=header.upsampler_steps or None,
        device=header.device,
        dtype=header.dtype,
        compile=False,
    )
    return replace(options, **{name: value for name, value in overrides.items() if value is not None})


def _check(episode: EpisodeLog, name: str, loaded: LoadedWorld) -> None:
    genre = genre_of(loaded.world.game)
    if not all(genre.actions.holds(action) for action in episode.actions):
        raise DiamondError(f"{name} holds actions that {genre.title} does not have")
    if episode.origin not in loaded.sources:
        raise DiamondError(f"{name} was played in the real emulator, which {genre.title} does not have")
    start, count = episode.start.context, 0 if loaded.world.contexts is None else len(loaded.world.contexts)
    if start is not None and start not in range(count):
        raise DiamondError(f"{name} starts from context {start}: these weights have {count} contexts")
