"""Locations of recordings: in folders, or as members of uncompressed tars, which are not unpacked."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from diamond_engine.errors import UsageError

SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True)
class Place:
    """Location of the bytes of one recording."""

    path: str
    """A file of its own, or a tar."""
    offset: int
    """Offset of the first byte."""
    size: int
    """Number of bytes."""

    def read(self) -> bytes:
        """Reads all bytes; fewer if the file ends early."""
        with Path(self.path).open("rb") as file:
            there = file.seek(0, os.SEEK_END) - self.offset
            file.seek(self.offset)
            return file.read(max(0, min(self.size, there)))


@dataclass(frozen=True)
class Found:
    """The recordings in some tars and folders."""

    places: dict[str, tuple[Place, ...]]
    """By file name, in natural order: more than one place where there are duplicates."""
    cut_off: tuple[str, ...]
    """Tars that end in the middle."""

    @property
    def duplicates(self) -> int:
        """Duplicate files."""
        return sum(len(places) - 1 for places in self.places.values())


def find(paths: Sequence[Path]) -> Found:
    """All recordings in tars, in folders (and the folders and tars in them), and given as files.

    Raises ``UsageError`` for paths that are missing, of another kind, or without recordings.
    """
    found: dict[str, list[Place]] = {}
    cut_off: list[str] = []
    for path in dict.fromkeys(file.resolve() for given in paths for file in _files(given)):
        if path.suffix == ".tar":
            members, whole = _members(path)
            if not whole:
                cut_off.append(str(path))
        else:
            members = [(path.name, Place(str(path), 0, path.stat().st_size))]
        for name, place in members:
            found.setdefault(name, []).append(place)
    if not found:
        raise UsageError(f"no recordings in {', '.join(map(str, paths))}: give tars, or folders of .hdf5 or .h5 files")
    return Found({name: tuple(found[name]) for name in sorted(found, key=natural)}, tuple(cut_off))


def natural(name: str) -> list[tuple[int, str]]:
    """Natural sort order of names: 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        inside = (file for file in path.rglob("*") if file.suffix in (*SUFFIXES, ".tar") and file.is_file())
        yield from sorted(
            (file for file in inside if not file.name.startswith(".")), key=lambda file: natural(file.name)
        )
    elif path.suffix in (*SUFFIXES, ".tar") and path.is_file():
        yield path
    else:
        raise UsageError(f"{path} is no tar, no folder and no .hdf5 or .h5 file")


def _members(path: Path) -> tuple[list[tuple[str, Place]], bool]:
    """The recordings in a tar, and whether it is whole. Reads headers only."""
    members: list[tuple[str, Place]] = []
    end, last = path.stat().st_size, -1
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.offset_data <= last or member.size < 0:
                    return members, False  # a damaged size points backwards: the loop would not end
                last = member.offset_data
                if member.isfile() and Path(member.name).suffix in SUFFIXES:
                    members.append((Path(member.name).name, Place(str(path), member.offset_data, member.size)))
    except PermissionError:
        raise
    except Exception:  # damaged headers can raise almost any exception
        return members, False
    return members, all(place.offset + place.size <= end for _, place in members)
