"""Training data of first-person worlds: prepared recordings or original files, and segments of them.

Shapes: B batch, T frames, L context length, A entries of an action (51 of CS:GO), H height, W width (h, w at low
resolution).
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from diamond_engine.actions import KeyMap
from diamond_engine.contexts import StartContexts
from diamond_engine.damage import map_array, reading
from diamond_engine.diffusion import Segment
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.frames import to_float
from training.data.priorities import Priorities
from training.first_person.recordings import FACTOR, Recording, open_recording
from training.first_person.shards import (
    JOURNAL,
    MANIFEST,
    full_res_path,
    held_out,
    read_manifest,
    record_type,
    shard_path,
    shrink,
)
from training.first_person.sources import find
from training.runs.workers import ALONE, Workers

KEPT_OPEN = 256
READERS = 2
READ_AHEAD = 4
Kept = TypeVar("Kept")
Arrays = tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True)
class Clip:
    """One recording."""

    name: str
    """File name of the original."""
    frames: int
    """Its length T."""
    held_out: bool
    """Whether it is held out of training."""


class Footage(Protocol):
    """Recordings by index. Several threads may read them."""

    @property
    def clips(self) -> Sequence[Clip]:
        """All recordings."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height H and width W of a full-resolution frame."""
        ...

    @property
    def key_map(self) -> KeyMap:
        """What the A entries of an action are."""
        ...

    def low_res(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Frames ``(stop - start, H/5, W/5, 3)`` RGB."""
        ...

    def full_res(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Frames ``(stop - start, H, W, 3)`` RGB."""
        ...

    def actions(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """The action taken at each frame, zeros and ones ``(stop - start, A)``."""
        ...

    def describe(self) -> str:
        """A description for a person."""
        ...


def open_footage(folder: Path, console: Console) -> Footage:
    """A prepared folder, or a folder of original files.

    Raises ``UsageError`` for a folder without recordings, ``DiamondError`` if none of them can be used.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder of recordings: {folder}")
    if (folder / MANIFEST).exists() or (folder / JOURNAL).exists():
        return Prepared(folder)
    return Originals(folder, console)


class _OpenFiles(Generic[Kept]):
    """A cache of open files; evicted ones are closed when the last reader releases them."""

    def __init__(self, open_file: Callable[[int], Kept]) -> None:
        self._open = open_file
        self._kept: OrderedDict[int, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> Kept:
        with self._lock:
            if index not in self._kept:
                self._kept[index] = self._open(index)
                if len(self._kept) > KEPT_OPEN:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(index)
            return self._kept[index]


class Prepared:
    """A folder of ``csgo-data prepare``, memory-mapped; full-resolution frames from there or from the originals."""

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        self._folder = folder
        self._entries = manifest.entries
        self.clips = [Clip(entry.name, entry.frames, entry.held_out) for entry in manifest.entries]
        self.size = (manifest.entries[0].height, manifest.entries[0].width)
        self.key_map = manifest.entries[0].key_map
        self._shards = _OpenFiles(self._open_shard)
        self._full = _OpenFiles(self._open_full)

    def low_res(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.low_res``."""
        return self._shards[clip]["low_res"][start:stop]

    def actions(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.actions``."""
        return np.unpackbits(self._shards[clip]["action"][start:stop], axis=1, count=self.key_map.size)

    def full_res(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.full_res``."""
        content = self._full[clip]
        if self._entries[clip].full_res is not None:
            return content[start:stop]
        shape = (*self.size, 3)
        offsets = self._shards[clip]["offset"][start:stop]
        if not ((offsets >= 0) & (offsets <= len(content) - math.prod(shape))).all():
            raise DiamondError(
                f"{shard_path(self._folder, self._entries[clip].name)} was altered or damaged: prepare again"
            )
        return np.stack([content[at : at + math.prod(shape)].reshape(shape) for at in offsets])[..., ::-1]

    def describe(self) -> str:
        """See ``Footage.describe``."""
        copied = sum(entry.full_res is not None for entry in self._entries)
        where = "copied" if copied == len(self._entries) else "read from the originals in place"
        return f"{_counted(self.clips)}, prepared (full-resolution frames {where})"

    def _open_shard(self, clip: int) -> NDArray[Any]:
        entry = self._entries[clip]
        kind = record_type(entry.height // FACTOR, entry.width // FACTOR, entry.key_map)
        return _mapped(shard_path(self._folder, entry.name), kind, (entry.frames,))

    def _open_full(self, clip: int) -> NDArray[np.uint8]:
        entry = self._entries[clip]
        if entry.full_res is not None:
            shape = (entry.frames, entry.height, entry.width, 3)
            return _mapped(full_res_path(self._folder, entry.name), np.dtype(np.uint8), shape)
        path, end = Path(entry.source.path), entry.source.offset + entry.source.size
        if not path.exists() or path.stat().st_size < end:
            raise DiamondError(f"{path} is not as it was when it was prepared: put it back, or prepare with --full-res")
        return np.memmap(path, np.uint8, "r")


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    with reading(path, "is missing or damaged: 'diamond-train csgo-data check' tells what else is"):
        array = map_array(path)
    if array.dtype != dtype or array.shape != shape:
        raise DiamondError(f"{path} is not what was prepared: 'diamond-train csgo-data check' tells what else is")
    return array


class Originals:
    """The original files, kept open. Low-resolution frames are computed at every read, so this is much slower.

    Damaged files are left out and named. Raises ``DiamondError`` if none is intact or their sizes differ.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        found = find([folder])
        if any(place.path.endswith(".tar") for places in found.places.values() for place in places):
            raise UsageError(f"{folder} holds tars: 'diamond-train csgo-data prepare {folder} OUT' first, then use OUT")
        self._paths: list[Path] = []
        lengths: list[int] = []
        sizes: set[tuple[int, int]] = set()
        key_maps: set[KeyMap] = set()
        problems: list[str] = []
        for name, places in found.places.items():
            try:
                recording = open_recording(Path(places[0].path), name)
            except DiamondError as error:
                console.print(f"left out: {error}")
                problems.append(str(error))
                continue
            self._paths.append(Path(places[0].path))
            lengths.append(recording.length)
            sizes.add(recording.size)
            key_maps.add(recording.key_map)
        if not self._paths:
            raise DiamondError(f"none of the {len(problems)} files in {folder} is good: {problems[0]}")
        if len(sizes) > 1:
            named = ", ".join(f"{width}x{height}" for height, width in sorted(sizes))
            raise DiamondError(f"{folder} has frames of different sizes ({named}): train on one size")
        if len(key_maps) > 1:
            raise DiamondError(f"{folder} has recordings of {len(key_maps)} key maps: train on those of one")
        self.size, self.key_map = sizes.pop(), key_maps.pop()
        self.clips = [
            Clip(path.name, length, held_out(path.name, i))
            for i, (path, length) in enumerate(zip(self._paths, lengths, strict=True))
        ]
        self._files = _OpenFiles(self._open)

    def low_res(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.low_res``."""
        return shrink(self._files[clip].frames(start, stop))

    def full_res(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.full_res``."""
        return self._files[clip].frames(start, stop)

    def actions(self, clip: int, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Footage.actions``."""
        return self._files[clip].actions(start, stop)

    def describe(self) -> str:
        """See ``Footage.describe``."""
        return f"{_counted(self.clips)}, original files ('csgo-data prepare' makes reading faster)"

    def _open(self, clip: int) -> Recording:
        return open_recording(self._paths[clip], self._paths[clip].name)


def _counted(clips: Sequence[Clip]) -> str:
    frames = sum(clip.frames for clip in clips)
    return f"{len(clips)} recordings of {frames:,} frames, {sum(clip.held_out for clip in clips)} held out"


class TrainedOn:
    """The training recordings with at least ``least`` frames, in the form for ``Priorities``."""

    def __init__(self, footage: Footage, least: int) -> None:
        clips = [(i, clip) for i, clip in enumerate(footage.clips) if not clip.held_out and clip.frames >= least]
        if not clips:
            raise DiamondError(f"no recording to train on has {least} frames: record longer ones")
        self.indices = [i for i, _ in clips]
        """Their indices in the footage."""
        self.paths = [Path(clip.name) for _, clip in clips]
        """Their names."""
        self.lengths: NDArray[np.int64] = np.array([clip.frames - 1 for _, clip in clips])
        """Their numbers of steps."""


class Segments:
    """Numbered batches of segments, read ahead by threads. Batch n depends only on the seed and n.

    All places of the training recordings are equally likely; a segment lies inside one recording. Several ``workers``
    take turns with the batches. With ``priorities`` a share of the places depends on the errors noted so far, and
    nothing is read ahead.
    """

    def __init__(
        self,
        footage: Footage,
        length: int,
        batch_size: int,
        seed: int,
        *,
        full_res: bool,
        workers: Workers = ALONE,
        priorities: Priorities | None = None,
        priority_share: float = 0.0,
    ) -> None:
        """``full_res``: read full-resolution frames together with low-resolution ones, instead of only these.

        ``priorities`` of ``TrainedOn(footage, length)``.
        """
        self._workers = workers
        self._footage = footage
        self._length = length
        self._batch_size = batch_size
        self._seed = seed
        self._full_res = full_res
        self._priorities = priorities
        self._priority_share = priority_share
        clips = TrainedOn(footage, length)
        self._clips = clips.indices
        self._starts: NDArray[np.int64] = clips.lengths - length + 2
        self._ends = np.cumsum(self._starts)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._ahead: dict[int, Future[tuple[NDArray[np.int64], Arrays]]] = {}
        self.drawn = 0
        """Number of batches drawn so far by all workers; set it to continue from there."""
        self.places: NDArray[np.int64] = np.zeros((0, 2), dtype=np.int64)
        """Recording (among the training ones) and first frame of the segments drawn last, ``(B, 2)``."""

    @property
    def next(self) -> int:
        """Number of the batch that ``draw`` returns next."""
        return self.drawn + self._workers.rank

    def draw(self, device: torch.device) -> Segment:
        """The next batch: frames ``(B, T, 3, H, W)`` (h, w unless ``full_res``), actions ``(B, T, A)``."""
        turns, wanted = self._workers.count, self.next
        ahead = 1 if self._priorities else READ_AHEAD
        for number in range(wanted, wanted + ahead * turns, turns):
            if number not in self._ahead:
                self._ahead[number] = self._threads.submit(self._read, self._places(number))
        self.places, arrays = self._ahead[wanted].result()
        obs, act, *low_res = (torch.from_numpy(array).to(device) for array in arrays)
        self._ahead = {number: future for number, future in self._ahead.items() if number > wanted}
        self.drawn += turns
        mask = torch.ones(obs.shape[:2], dtype=torch.bool, device=device)
        return Segment(to_float(obs), act, mask, low_res=to_float(low_res[0]) if low_res else None)

    def read(self, number: int) -> Arrays:
        """A batch by number, as arrays: frames, actions and, with ``full_res``, low-resolution frames."""
        return self._read(self._places(number))[1]

    def _places(self, number: int) -> NDArray[np.int64]:
        """Of batch ``number``, as in ``places``."""
        rng = np.random.default_rng([self._seed, number])
        drawn = rng.integers(self._ends[-1], size=self._batch_size)
        clips = np.searchsorted(self._ends, drawn, side="right")
        places = np.stack((clips, drawn - self._ends[clips] + self._starts[clips]), axis=1)
        if self._priorities is not None:
            preferred = self._priorities.draw(rng, self._batch_size)
            preferred[:, 1] = preferred[:, 1].clip(0, self._starts[preferred[:, 0]] - 1)
            places = np.where(rng.random((self._batch_size, 1)) < self._priority_share, preferred, places)
        return places

    def _read(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], Arrays]:
        rows: list[Arrays] = []
        for clip, start in places.tolist():
            where = (self._clips[clip], start, start + self._length)
            low_res, act = self._footage.low_res(*where), self._footage.actions(*where)
            rows.append((self._footage.full_res(*where), act, low_res) if self._full_res else (low_res, act))
        return places, tuple(np.stack(column) for column in zip(*rows, strict=True))


def draw_contexts(footage: Footage, count: int, length: int, recorded: int, seed: int) -> StartContexts:
    """Start contexts of L frames with the player's next actions, from held-out recordings if there are any.

    ``recorded``: number of actions to keep after each, fewer in short recordings. Raises ``DiamondError`` if all
    recordings are too short.
    """
    needed = length + 1
    kept = [i for i, clip in enumerate(footage.clips) if clip.frames >= needed]
    chosen = [i for i in kept if footage.clips[i].held_out] or kept
    if not chosen:
        raise DiamondError(f"no recording has {needed} frames: record longer ones")
    after = min(recorded, *(footage.clips[i].frames - length + 1 for i in chosen))
    rng = np.random.default_rng(seed)
    contexts: list[tuple[NDArray[np.uint8], ...]] = []
    for n in range(count):
        clip = chosen[n % len(chosen)]
        start = int(rng.integers(footage.clips[clip].frames - length - after + 2))
        newest = start + length - 1
        actions = footage.actions(clip, start, newest + after)
        contexts.append(
            (
                footage.low_res(clip, start, newest + 1),
                actions[: length - 1],
                footage.full_res(clip, newest, newest + 1),
                actions[length - 1 :],
            )
        )
    frames, actions, full_res, next_actions = (np.stack(column) for column in zip(*contexts, strict=True))
    return StartContexts(frames, actions, full_res, next_actions)
