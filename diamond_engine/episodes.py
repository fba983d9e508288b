"""Episodes on disk (one HDF5 file each) and training segments drawn from them.

A file holds ``frames`` uint8 ``(T, H, W, 3)`` RGB, chunked by frame; ``actions`` int64 ``(T,)``, the action taken at
each frame (of a first-person game uint8 ``(T, A)``, vectors of the key map in the attribute ``key_map``, without it of
CS:GO's); ``rewards`` float32 ``(T,)``; ``terminated`` and ``truncated`` bool ``(T,)``; ``final_frame`` uint8
``(H, W, 3)``, what the last action led to; and attributes ``format`` (= 1) plus facts about the collection (``game``,
``policy``, ``seed``, …).
Files are named by number and read in that order, oldest first.

Shapes: B batch, T steps of an episode, S steps of a segment, C channels, H height, W width.
"""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.actions import csgo, stated_key_map
from diamond_engine.damage import read_dataset, reading
from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path
from diamond_engine.frames import to_float
from diamond_engine.games import ATARI_GAMES

FORMAT = 1
DTYPES = {
    "frames": np.uint8,
    "actions": np.int64,
    "rewards": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "final_frame": np.uint8,
}
COLUMNS = tuple(name for name in DTYPES if name != "frames")
EPISODE_NAME = re.compile(r"episode_(\d{6})\.h5")

PAPER_AGE_WEIGHTS = (0.1, 0.1, 0.1, 0.7)
"""Sampling weights of the quarters of the episodes by age, oldest first (Table 4)."""


@dataclass(frozen=True)
class Episode:
    """One episode in memory; arrays as described for the file."""

    frames: NDArray[np.uint8]
    actions: NDArray[np.int64] | NDArray[np.uint8]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_frame: NDArray[np.uint8]
    attributes: Mapping[str, str | int | float] = field(default_factory=dict[str, str | int | float])
    """Facts about the collection."""

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def all_frames(self) -> NDArray[np.uint8]:
        """With the final one ``(T + 1, H, W, 3)``."""
        return np.concatenate((self.frames, self.final_frame[None]))

    @property
    def score(self) -> float:
        """Sum of the unclipped rewards."""
        return float(self.rewards.sum())


def write_episode(path: Path, episode: Episode, *, exclusive: bool = False) -> None:
    """Writes an episode atomically; ``exclusive`` raises ``FileExistsError`` rather than replace a file."""
    content = _encode(episode)
    with atomic_path(path, exclusive=exclusive) as temporary:
        temporary.write_bytes(content)


def _encode(episode: Episode) -> bytes:
    """Writes the file in memory first: HDF5 may crash when the disk fills up while it writes."""
    buffer = io.BytesIO()
    with _open(buffer, "w") as file:
        chunk = (1, *episode.frames.shape[1:])
        file.create_dataset("frames", data=episode.frames, chunks=chunk, compression="gzip", compression_opts=1)
        for name in COLUMNS:
            file.create_dataset(name, data=getattr(episode, name))
        file.attrs["format"] = FORMAT
        for name, value in episode.attributes.items():
            file.attrs[name] = value
    return buffer.getvalue()


def read_episode(path: Path) -> Episode:
    """Reads one episode. Raises ``DiamondError`` where the file is missing, damaged, or not an episode."""
    with open_episode(path) as file:
        if file.attrs.get("format") != FORMAT:
            raise DiamondError(f"{path} is not an episode of format {FORMAT}")
        arrays = {name: read_dataset(file[name]) for name in ("frames", *COLUMNS)}
        attributes = {name: _plain(value) for name, value in file.attrs.items() if name != "format"}
        key_map = stated_key_map(attributes, csgo.KEY_MAP)
    shapes = {name: array.shape for name, array in arrays.items()}
    steps, *image = shapes["frames"] if len(shapes["frames"]) == 4 else (0,)
    vector = (key_map.size,) if len(shapes["actions"]) == 2 else ()
    expected = {"frames": (steps, *image), **dict.fromkeys(COLUMNS, (steps,)), "final_frame": tuple(image)}
    expected["actions"] = (steps, *vector)
    types = {**DTYPES, "actions": np.uint8 if vector else np.int64}
    if steps == 0 or shapes != expected:
        raise DiamondError(f"{path} is not a valid episode: shapes {shapes}")
    dtypes = {name: array.dtype for name, array in arrays.items()}
    if any(dtypes[name] != dtype for name, dtype in types.items()):
        raise DiamondError(f"{path} is not a valid episode: {', '.join(f'{k} {v}' for k, v in dtypes.items())}")
    episode = Episode(**arrays, attributes=attributes)
    problem = _impossible(episode)
    if problem is not None:
        raise DiamondError(f"{path} is not a valid episode: {problem}")
    return episode


def _impossible(episode: Episode) -> str | None:
    """Describes impossible values, or None. HDF5 has no checksums of its own."""
    if not np.isfinite(episode.rewards).all():
        return "rewards that are not finite"
    if episode.actions.ndim == 2:
        return None if (episode.actions <= 1).all() else "actions that are not zeros and ones"
    game = ATARI_GAMES.get(str(episode.attributes.get("game")))
    most = np.iinfo(np.int32).max if game is None else len(game.actions) - 1
    if not ((episode.actions >= 0) & (episode.actions <= most)).all():
        return f"actions that are not from 0 to {most}"
    return None


def _plain(value: Any) -> str | int | float:
    plain = np.asarray(value).item() if np.ndim(value) == 0 else value
    return plain if isinstance(plain, (str, int, float)) else str(plain)


def _open(file: Path | io.BytesIO, mode: str) -> Any:
    """An HDF5 file; h5py carries no types."""
    return h5py.File(file, mode)


@contextmanager
def open_episode(path: Path) -> Generator[Any]:
    """Opens the HDF5 file of an episode for reading; whatever h5py raises becomes a ``DiamondError``."""
    problem = "is not a readable episode (truncated or damaged): delete it or collect it again"
    with reading(path, problem), _open(path, "r") as file:
        yield file


def episode_name(number: int) -> str:
    """The file name of an episode of a folder, the first being number 0."""
    return f"episode_{number:06d}.h5"


class EpisodeFolder:
    """A folder of episodes. It grows by ``append`` and keeps decoded episodes in a cache.

    Opening it reads only the length of every episode; a damaged file raises ``DiamondError`` naming it.
    """

    def __init__(self, folder: Path, cache_bytes: int = 4 * 2**30) -> None:
        self.folder = folder
        self._cache: OrderedDict[Path, Episode] = OrderedDict()
        self._cached_bytes = 0
        self._cache_bytes = cache_bytes
        self._events: dict[Path, tuple[NDArray[np.int64], ...]] = {}
        self.paths: list[Path] = []
        self.lengths: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.refresh()

    def refresh(self) -> None:
        """Rereads the list of files: episodes may have been added or deleted."""
        known = dict(zip(self.paths, self.lengths.tolist(), strict=True))
        self.paths = sorted(path for path in self.folder.glob("episode_*.h5") if EPISODE_NAME.fullmatch(path.name))
        lengths = [known[path] if path in known else _length(path) for path in self.paths]
        self.lengths = np.asarray(lengths, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Episode:
        path = self.paths[index]
        if path in self._cache:
            self._cache.move_to_end(path)
            return self._cache[path]
        episode = read_episode(path)
        self._cache[path] = episode
        self._cached_bytes += episode.frames.nbytes
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= dropped.frames.nbytes
        return episode

    def attribute(self, name: str) -> set[str]:
        """What the episodes say of themselves under a name, as text; those that do not say it are left out.

        Reads every file. Raises ``DiamondError`` naming a damaged one.
        """
        said: set[str] = set()
        for path in self.paths:
            with open_episode(path) as file:
                if name in file.attrs:
                    said.add(str(file.attrs[name]))
        return said

    def events(self) -> list[NDArray[np.int64]]:
        """Rewarded steps and ends, each as pairs ``(K, 2)`` of episode index and step; empty kinds are left out.

        Reads two columns of every new episode. Raises ``DiamondError`` naming a damaged file.
        """
        for path in self.paths:
            if path not in self._events:
                self._events[path] = _events(path)
        by_kind = zip(*(self._events[path] for path in self.paths), strict=True)
        pairs = [[(i, step) for i, steps in enumerate(kind) for step in steps.tolist()] for kind in by_kind]
        return [np.asarray(kind, dtype=np.int64) for kind in pairs if kind]

    @property
    def num_steps(self) -> int:
        """Number of steps in all episodes."""
        return int(self.lengths.sum())

    def append(self, episode: Episode) -> Path:
        """Writes an episode under the next number that no other process has taken."""
        while True:
            number = 1 + int(self.paths[-1].stem.rpartition("_")[2]) if self.paths else 0
            path = self.folder / episode_name(number)
            try:
                write_episode(path, episode, exclusive=True)
            except FileExistsError:
                self.refresh()
            else:
                break
        self.paths.append(path)
        self.lengths = np.append(self.lengths, len(episode))
        return path


def _length(path: Path) -> int:
    with open_episode(path) as file:
        length = len(file["actions"])
        if length == 0 or length != len(file["frames"]):
            raise DiamondError(f"{path} is not a valid episode: {length} actions, {len(file['frames'])} frames")
        return length


def _events(path: Path) -> tuple[NDArray[np.int64], ...]:
    with open_episode(path) as file:
        return np.flatnonzero(read_dataset(file["rewards"])), np.flatnonzero(read_dataset(file["terminated"]))


@dataclass(frozen=True)
class SegmentBatch:
    """B segments of S steps, as torch tensors."""

    obs: Tensor
    """Frames, float ``(B, S, C, H, W)`` in [-1, 1]; 0 (grey) where padded; the final frame follows an end."""
    act: Tensor
    """Action taken at each frame, int64 ``(B, S)``, 0 where padded."""
    rewards: Tensor
    """float32 ``(B, S)``."""
    ends: Tensor
    """terminated, bool ``(B, S)``."""
    is_frame: Tensor
    """The frame is real: a step's frame or the final frame, bool ``(B, S)``."""
    is_step: Tensor
    """The frame was acted on: action, reward and end are real, bool ``(B, S)``."""
    mean_frames: Tensor
    """Average number of real frames ``(S,)`` in a part of this size of the whole batch; losses are divided by it."""
    mean_steps: Tensor
    """The same for frames that were acted on."""
    places: NDArray[np.int64]
    """Episode index and first step of every segment, ``(B, 2)``."""


@dataclass(frozen=True)
class SegmentSampler:
    """Draws segments: an episode by age and length, then a place in it, or a place that covers an event.

    With ``beyond_end`` a segment may run past the end of its episode (padding follows the final frame); otherwise only
    the start may be padded, unless ``before_start`` is off.
    """

    folder: EpisodeFolder
    length: int
    """Steps S of a segment."""
    age_weights: Sequence[float] = PAPER_AGE_WEIGHTS
    """Share of the samples that each equal part of the episodes gets, oldest first."""
    beyond_end: bool = False
    """Whether padding may follow the end."""
    event_share: float = 0.0
    """Share of the segments placed over a rewarded step or an end instead, both kinds equally often."""
    before_start: bool = True
    """Whether padding may come before the first frame. If not, segments longer than their episode are padded at its
    end."""
    preferred: Callable[[np.random.Generator, int], NDArray[np.int64]] | None = None
    """Draws K segments by priority: episode index and first step of each, ``(K, 2)``."""
    preferred_share: float = 0.0
    """Share of the segments that come from ``preferred`` instead."""

    def episode_probabilities(self) -> NDArray[np.float64]:
        """Probability of every episode ``(N,)``: by length within its age group, groups by ``age_weights``."""
        if len(self.folder) == 0:
            raise DiamondError(f"no episodes in {self.folder.folder}: collect some first")
        lengths = self.folder.lengths.astype(np.float64)
        if len(lengths) < len(self.age_weights):
            return lengths / lengths.sum()
        parts = np.array_split(lengths, len(self.age_weights))
        return np.concatenate(
            [weight * part / part.sum() for weight, part in zip(self.age_weights, parts, strict=True)]
        ) / sum(self.age_weights)

    def draw(
        self, rng: np.random.Generator, batch_size: int, device: torch.device, part: slice = slice(None)
    ) -> SegmentBatch:
        """Draws ``batch_size`` segments and reads those of ``part`` onto ``device``; frames cross to it as uint8."""
        indices = rng.choice(len(self.folder), size=batch_size, p=self.episode_probabilities())
        places = [self._place(rng, int(index)) for index in indices]
        if self.event_share > 0 and (kinds := self.folder.events()):
            for i in np.flatnonzero(rng.random(batch_size) < self.event_share):
                places[i] = self._place_over_event(rng, kinds[rng.integers(len(kinds))])
        if self.preferred is not None:
            chosen = np.flatnonzero(rng.random(batch_size) < self.preferred_share)
            for i, (index, start) in zip(chosen, self.preferred(rng, len(chosen)).tolist(), strict=True):
                places[i] = index, self._within(index, start)
        return self.read(places, part, device)

    def _place(self, rng: np.random.Generator, index: int) -> tuple[int, int]:
        """Episode index and first step of a segment."""
        covered = rng.integers(int(self.folder.lengths[index]) + 1)
        return index, self._within(index, int(covered - rng.integers(self.length)))

    def _place_over_event(self, rng: np.random.Generator, events: NDArray[np.int64]) -> tuple[int, int]:
        """A place that includes the frame of an event's step and the frame after it (unless segments have one step)."""
        index, step = events[rng.integers(len(events))]
        return int(index), self._within(int(index), int(step - rng.integers(max(1, self.length - 1))))

    def _within(self, index: int, start: int) -> int:
        if not self.beyond_end:
            start = min(start, int(self.folder.lengths[index]) + 1 - self.length)
        return start if self.before_start else max(0, start)

    def read(self, places: Sequence[tuple[int, int]], part: slice, device: torch.device) -> SegmentBatch:
        """The segments of ``part`` of ``places``: episode index and first step of each."""
        rows = [cut(self.folder[index], start, self.length) for index, start in places[part]]
        columns = {name: torch.as_tensor(np.stack([row[name] for row in rows]), device=device) for name in rows[0]}
        is_frame = columns["is_frame"]
        obs = to_float(columns["frames"]) * is_frame[:, :, None, None, None]
        indices, starts = np.asarray(places).T
        steps, ends = starts[:, None] + np.arange(self.length), self.folder.lengths[indices][:, None]
        masks = ((steps >= 0) & (steps <= ends), (steps >= 0) & (steps < ends))
        counts = torch.as_tensor(np.stack(masks).sum(1), dtype=torch.float32, device=device)
        mean_frames, mean_steps = counts * (len(rows) / len(places))
        return SegmentBatch(
            obs,
            columns["actions"],
            columns["rewards"],
            columns["ends"],
            is_frame,
            columns["is_step"],
            mean_frames,
            mean_steps,
            np.asarray(places[part], dtype=np.int64),
        )


def cut(episode: Episode, start: int, length: int) -> dict[str, NDArray[np.generic]]:
    """Steps ``start`` to ``start + length`` of an episode (either may lie outside it), zero-padded.

    Returns ``frames`` uint8 ``(S, H, W, 3)``, the final frame after the end, and ``actions``, ``rewards``, ``ends``,
    ``is_frame`` and ``is_step``, each ``(S,)``.
    """
    steps = len(episode)
    first, last = max(0, start), min(steps, start + length)
    inside = slice(first - start, max(first, last) - start)
    source = slice(first, max(first, last))
    frames = np.zeros((length, *episode.frames.shape[1:]), dtype=np.uint8)
    actions = np.zeros(length, dtype=np.int64)
    rewards = np.zeros(length, dtype=np.float32)
    ends, is_step = np.zeros(length, dtype=bool), np.zeros(length, dtype=bool)
    frames[inside] = episode.frames[source]
    actions[inside] = episode.actions[source]
    rewards[inside] = episode.rewards[source]
    ends[inside] = episode.terminated[source]
    is_step[inside] = True
    is_frame = is_step.copy()
    if start <= steps < start + length:
        frames[steps - start] = episode.final_frame
        is_frame[steps - start] = True
    return {
        "frames": frames,
        "actions": actions,
        "rewards": rewards,
        "ends": ends,
        "is_frame": is_frame,
        "is_step": is_step,
    }
