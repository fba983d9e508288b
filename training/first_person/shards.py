"""Prepared recordings: a folder of memory-mapped shards, one a recording, and a manifest.

``shards/<recording>.npy`` holds a record of ``record_type`` for every frame. ``full_res/<recording>.npy``, on request
or if needed, holds the frames uint8 ``(T, H, W, 3)``. ``manifest.json`` lists the contents and their origin.

Shapes: T frames, H height, W width (h, w at low resolution).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from diamond_engine.actions import KeyMap, csgo
from diamond_engine.damage import reading
from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path, write_text
from training.first_person.recordings import FACTOR, LARGEST_SIDE, Recording
from training.first_person.sources import Place

FORMAT = 1
NOWHERE = -1
FRAMES_AT_ONCE = 100
MANIFEST = "manifest.json"
JOURNAL = "progress.jsonl"
HELD_OUT_EVERY = 10
"""Of recordings other than those of CS:GO."""
CSGO_PREFIX = "hdf5_dm_july2021_"


def record_type(height: int, width: int, key_map: KeyMap) -> np.dtype[np.void]:
    """One frame of a shard, for low-resolution frames of a size and actions; 5,056 bytes for CS:GO."""
    return np.dtype(
        [
            ("low_res", np.uint8, (height, width, 3)),  # RGB
            ("action", np.uint8, (-(-key_map.size // 8),)),  # np.packbits of the entries
            ("event", np.uint8),  # 1 a kill, 2 a death
            ("offset", np.int64),  # of the full-resolution frame in its source, BGR; NOWHERE if it is not there
        ]
    )


def shrink(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The low-resolution frames: ``(T, H, W, 3)`` → ``(T, H/5, W/5, 3)``.

    Bicubic with antialiasing, computed in float32, clipped and rounded, as ``torchvision.transforms.functional.resize``
    does by default. Without antialiasing only 16 of 25 pixels would count, and thin objects would flicker.
    """
    height, width = frames.shape[1] // FACTOR, frames.shape[2] // FACTOR
    images = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1).float()
    small = F.interpolate(images, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
    return small.clamp(0, 255).round().byte().movedim(1, -1).contiguous().numpy()


@dataclass(frozen=True)
class Stored:
    """A file of a prepared folder."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """One prepared recording."""

    name: str
    """File name of the original."""
    frames: int
    """Its length."""
    height: int
    """Of its full-resolution frames."""
    width: int
    """Of its full-resolution frames."""
    held_out: bool
    """Whether it is held out of training."""
    source: Place
    """Path of the original."""
    shard: Stored
    """``shards/<name>.npy``."""
    full_res: Stored | None
    """``full_res/<name>.npy``, if there is one."""
    key_map: KeyMap = csgo.KEY_MAP
    """What the entries of its actions are."""

    def to_json(self) -> dict[str, Any]:
        """For ``from_json``; without the key map of CS:GO."""
        own = {} if self.key_map == csgo.KEY_MAP else {"key_map": self.key_map.to_json()}
        return {name: value for name, value in asdict(self).items() if name != "key_map"} | own

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Entry:
        """Raises ``KeyError``, ``TypeError`` or ``ValueError`` for something else."""
        full = data["full_res"]
        nested: dict[str, Any] = {"source": Place(**data["source"]), "shard": Stored(**data["shard"])}
        if "key_map" in data:
            nested["key_map"] = KeyMap.from_json(data["key_map"])
        entry = cls(**{**data, **nested, "full_res": None if full is None else Stored(**full)})
        sides = entry.height, entry.width
        if not (
            isinstance(entry.name, str) and isinstance(entry.held_out, bool) and isinstance(entry.source.path, str)
        ):
            raise ValueError("of other types")
        if not all(isinstance(side, int) and 0 < side <= LARGEST_SIDE and side % FACTOR == 0 for side in sides):
            raise ValueError("an impossible size")
        counts = entry.frames, entry.source.offset, entry.source.size, entry.shard.size
        if not all(isinstance(count, int) and count >= 0 for count in counts) or entry.frames == 0:
            raise ValueError("an impossible number")
        return entry


@dataclass(frozen=True)
class Manifest:
    """The contents of a prepared folder."""

    entries: tuple[Entry, ...]
    """In natural order of their names."""
    damaged: dict[str, str]
    """Recordings that were left out, with reasons."""
    cut_off: tuple[str, ...]
    """Tars that ended in the middle."""
    duplicates: int
    """Duplicate files."""


def shard_path(folder: Path, name: str) -> Path:
    """Path of the shard of a recording."""
    return folder / "shards" / f"{name}.npy"


def full_res_path(folder: Path, name: str) -> Path:
    """Path of the full-resolution frames of a recording, if they were copied."""
    return folder / "full_res" / f"{name}.npy"


def write_shards(folder: Path, name: str, recording: Recording, place: Place, full_res: bool) -> Entry:
    """Writes the files of one recording atomically; full-resolution frames on request or if not readable in place.

    If ``recording`` raises, no file is left.
    """
    offsets = recording.offsets()
    events = recording.events()
    low_res = np.concatenate([shrink(chunk) for chunk in _chunks(recording)])
    _, height, width, _ = low_res.shape
    records = np.zeros(recording.length, record_type(height, width, recording.key_map))
    records["low_res"] = low_res
    records["action"] = np.packbits(recording.actions(0, recording.length), axis=1)
    records["event"] = events[:, 0] + 2 * events[:, 1]
    records["offset"] = NOWHERE if offsets is None else place.offset + offsets
    copied = None
    if full_res or offsets is None:
        copied = _store(full_res_path(folder, name), recording.frames(0, recording.length))
    shard = _store(shard_path(folder, name), records)
    return Entry(name, recording.length, *recording.size, False, place, shard, copied, recording.key_map)


def _chunks(recording: Recording) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, recording.length, FRAMES_AT_ONCE):
        yield recording.frames(start, min(recording.length, start + FRAMES_AT_ONCE))


def _store(path: Path, array: NDArray[Any]) -> Stored:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    return Stored(buffer.tell(), hashlib.sha256(buffer.getbuffer()).hexdigest())


@cache
def csgo_test_split() -> frozenset[str]:
    """The 500 recordings of the CS:GO data set that the paper's authors held out."""
    return frozenset(files("training.first_person").joinpath("csgo_test_split.txt").read_text("utf-8").split())


def held_out(name: str, index: int) -> bool:
    """Whether a recording is held out of training: by the published split or, for other games, every tenth."""
    if name.startswith(CSGO_PREFIX):
        return name in csgo_test_split()
    return index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes ``manifest.json`` atomically."""
    content = {
        "format": FORMAT,
        "damaged": manifest.damaged,
        "cut_off": list(manifest.cut_off),
        "duplicates": manifest.duplicates,
        "recordings": [entry.to_json() for entry in manifest.entries],
    }
    write_text(folder / MANIFEST, json.dumps(content, indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Raises ``DiamondError`` if it is missing, damaged or of another format."""
    path = folder / MANIFEST
    if not path.exists():
        raise DiamondError(f"{folder} is not fully prepared: run 'diamond-train csgo-data prepare' again to finish it")
    with reading(path, "is damaged: run 'diamond-train csgo-data prepare' again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise DiamondError(f"{path} has format {content['format']}: this version reads {FORMAT}; prepare again")
        entries = tuple(Entry.from_json(entry) for entry in content["recordings"])
        if len({(entry.height, entry.width, entry.key_map) for entry in entries}) != 1:
            raise ValueError("no recordings, or of different sizes or key maps")
        return Manifest(entries, dict(content["damaged"]), tuple(content["cut_off"]), int(content["duplicates"]))
