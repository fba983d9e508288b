"""Recordings: a video to watch, and a session file beside it from which the same frames can be made again.

A session file is an ``.npz`` read without pickle. ``header`` is JSON in UTF-8 bytes. ``origins``, ``seeds``,
``contexts`` (-1: chosen by the seed) and ``lengths`` (steps) have one entry an episode. ``actions`` has one entry a
step, an index or a vector of zeros and ones. ``digests`` has the CRC-32 of every frame of every episode, its start
included. Kernels built for the machine round differently than torch's: ``compiled_from`` has, for every episode, the
steps after which they drew (-1: they drew nothing). Shapes: H height, W width.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.damage import read_arrays, reading
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import atomic_path
from play.actions import Action
from play.sources import Start, actions_of
from play.video import VideoWriter
from play.view import Frame, Origin

FORMAT = 4
NONE = -1
SESSION_SUFFIX = ".session.npz"


@dataclass(frozen=True)
class Header:
    """Settings that a replay needs to draw the same frames."""

    world: str
    """Name of the world, such as ``atari/Breakout``."""
    weights: str | None
    """The ``--weights`` of the session."""
    preset: str
    """Name of the sampler preset."""
    steps: int
    """Denoising steps of the dynamics model."""
    upsampler_steps: int
    """Denoising steps of the upsampler; 0 without one."""
    device: str
    """Torch device."""
    dtype: str
    """``float32`` or ``bfloat16``."""
    torch: str = torch.__version__
    """Version of torch; another may round differently."""
    format: int = FORMAT
    """Version of this file."""


@dataclass
class EpisodeLog:
    """The log of an episode."""

    origin: Origin
    """The kind of source."""
    start: Start
    """The start given to the source."""
    actions: list[Action]
    """Actions of the game, one a step."""
    digests: list[int]
    """Digest of the start frame, then of the frame after each action."""
    compiled_from: int | None = None
    """Steps after which kernels built for the machine drew; None: never."""

    @classmethod
    def starting(cls, origin: Origin, start: Start, frame: Frame, compiled: bool = False) -> EpisodeLog:
        """The log of an episode with only its first frame ``(H, W, 3)``."""
        return cls(origin, start, [], [digest(frame)], 0 if compiled else None)

    def append(self, action: Action, frame: Frame) -> None:
        """Adds an action and the frame ``(H, W, 3)`` it led to."""
        self.actions.append(action)
        self.digests.append(digest(frame))


def digest(frame: Frame) -> int:
    """CRC-32 of a frame's bytes."""
    return zlib.crc32(np.ascontiguousarray(frame).tobytes())


class Recorder:
    """A recording in progress: ``path`` (MP4) holds what was played since it began, the session file whole episodes."""

    def __init__(self, path: Path, frame_rate: float, header: Header) -> None:
        self.path = path
        self.episodes: list[EpisodeLog] = []
        self._header = header
        self._video = VideoWriter(path, frame_rate)

    def write(self, frame: Frame) -> None:
        """Adds a frame ``(H, W, 3)`` RGB to the video."""
        self._video.write(frame)

    def finish(self) -> None:
        """Completes both files. Raises ``DiamondError`` if one cannot be written."""
        self._video.finish()
        write_recording(session_path(self.path), Recording(self._header, self.episodes))


def session_path(video: Path) -> Path:
    """Path of the session file beside a video."""
    return video.with_suffix(SESSION_SUFFIX)


@dataclass(frozen=True)
class Recording:
    """The contents of a session file."""

    header: Header
    """Settings of the session."""
    episodes: list[EpisodeLog]
    """Episodes in the order played."""


def write_recording(path: Path, recording: Recording) -> None:
    """Writes a session file atomically."""
    episodes = recording.episodes
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        header=np.frombuffer(json.dumps(asdict(recording.header)).encode(), dtype=np.uint8),
        origins=np.array([episode.origin.value for episode in episodes]),
        seeds=np.array([episode.start.seed for episode in episodes], dtype=np.int64),
        contexts=_optional(episode.start.context for episode in episodes),
        compiled_from=_optional(episode.compiled_from for episode in episodes),
        lengths=np.array([len(episode.actions) for episode in episodes], dtype=np.int64),
        actions=_joined((episode.actions for episode in episodes), np.int64),
        digests=_joined((episode.digests for episode in episodes), np.uint32),
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def read_recording(path: Path) -> Recording:
    """Reads a session file, given by its own name or its video's.

    Raises ``UsageError`` if there is none, ``DiamondError`` if it is damaged or another kind of file.
    """
    path = session_path(path) if path.suffix == ".mp4" else path
    if not path.is_file():
        raise UsageError(f"no such session file: {path}")
    with reading(path, "is not a readable session file (truncated or damaged)"):
        arrays = read_arrays(path)
        facts = json.loads(arrays["header"].tobytes())
        if facts["format"] != FORMAT:
            raise DiamondError(f"{path} is a session of format {facts['format']}; this version reads {FORMAT}")
        return Recording(_checked(Header(**facts)), _split(arrays))


def _checked(header: Header) -> Header:
    """Raises ``ValueError`` for a value of another type than it is declared."""
    kinds = {"str": str, "int": int, "str | None": (str, type(None))}
    for field in fields(header):
        if not isinstance(getattr(header, field.name), kinds[str(field.type)]):
            raise ValueError(f"{field.name} is of another type")
    return header


def _optional(numbers: Iterable[int | None]) -> NDArray[np.int64]:
    return np.array([NONE if number is None else number for number in numbers], dtype=np.int64)


def _numbers(array: NDArray[np.generic]) -> list[int | None]:
    """The inverse of ``_optional``."""
    return [None if number == NONE else number for number in array.tolist()]


def _joined(rows: Iterable[Sequence[Action]], dtype: type[np.generic]) -> NDArray[np.generic]:
    return np.array([value for row in rows for value in row], dtype=dtype)


def _split(arrays: dict[str, NDArray[np.generic]]) -> list[EpisodeLog]:
    """Splits the arrays into episodes. Raises ``ValueError`` if they do not fit together."""
    whole = {name: array for name, array in arrays.items() if name not in ("header", "origins")}
    if any(array.size and array.dtype.kind not in "iu" for array in whole.values()):
        raise ValueError("not whole numbers")
    lengths = arrays["lengths"].astype(np.int64)
    steps = len(arrays["actions"])
    if not ((lengths >= 0) & (lengths <= steps)).all():
        raise ValueError("impossible lengths")
    if lengths.sum() != steps or steps + len(lengths) != len(arrays["digests"]):
        raise ValueError("lengths do not fit")
    if len(lengths) == 0:
        return []
    actions = np.split(arrays["actions"].astype(np.int64), lengths.cumsum()[:-1])
    digests = np.split(arrays["digests"], (lengths + 1).cumsum()[:-1])
    contexts, compiled_from = _numbers(arrays["contexts"]), _numbers(arrays["compiled_from"])
    starts = [Start(seed, context) for seed, context in zip(arrays["seeds"].tolist(), contexts, strict=True)]
    rows = zip(arrays["origins"].tolist(), starts, actions, digests, compiled_from, strict=True)
    return [EpisodeLog(Origin(origin), start, list(actions_of(a)), d.tolist(), c) for origin, start, a, d, c in rows]
