"""Where each world comes from: bundled first, else the published checkpoint, downloaded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from diamond_engine.errors import DiamondError, UsageError
from weights import hub
from weights.bundle import bundled_folder, bundled_worlds
from weights.checksums import check_checksums
from weights.manifest import LICENCE, MANIFEST, HubFile


@dataclass(frozen=True)
class Entry:
    """One world and where it would come from."""

    name: str
    """Such as ``atari/Breakout``."""
    origin: Literal["bundled", "cached", "hub"]
    """In this package, in the cache of ``huggingface_hub``, or on the hub, still to be downloaded."""
    path: Path | None
    """The world folder or the published checkpoint; None where it is still to be downloaded."""
    size_bytes: int
    """Size on disk; for a world on the hub about what the download takes."""
    licence: str
    """What is known about the licence of the weights."""


def catalogue() -> list[Entry]:
    """All worlds by name, each from where ``locate`` would take it. Asks no network and checks nothing."""
    bundled = bundled_worlds()
    entries = [_bundled_entry(name, folder) for name, folder in bundled.items()]
    entries += [_hub_entry(name, file) for name, file in MANIFEST.items() if name not in bundled]
    return sorted(entries, key=lambda entry: entry.name)


def locate(name: str, *, hub_only: bool = False) -> Path:
    """A bundled world's folder, else the published checkpoint (``.pt``); ``hub_only`` passes over bundled worlds.

    What is returned was checked against its SHA-256. Raises ``UsageError`` for a world that nobody published,
    ``DiamondError`` where it is damaged or cannot be downloaded.
    """
    folder = None if hub_only else bundled_folder(name)
    if folder is not None:
        check_checksums(folder)
        return folder
    if name not in MANIFEST:
        raise UsageError(f"no world named {name!r} is bundled or published: 'diamond-play list' shows those there are")
    try:
        return hub.fetch(MANIFEST[name])
    except DiamondError as error:
        offline = ", ".join(bundled_worlds())
        raise DiamondError(f"{error}; bundled, playable offline: {offline}" if offline else str(error)) from error


def _bundled_entry(name: str, folder: Path) -> Entry:
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Entry(name, "bundled", folder, size, _stated_licence(folder / "world.yaml"))


def _stated_licence(path: Path) -> str:
    try:
        provenance = yaml.safe_load(path.read_text(encoding="utf-8"))["provenance"]
        return str(provenance["licence"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return "not stated"


def _hub_entry(name: str, file: HubFile) -> Entry:
    path = hub.cached(file)
    if path is None:
        return Entry(name, "hub", None, file.size_bytes, LICENCE)
    return Entry(name, "cached", path, path.stat().st_size, LICENCE)
