"""Locates worlds: bundled first, else the published checkpoint, downloaded once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import yaml

from weights import hub
from weights.bundle import bundled_folder, bundled_worlds
from weights.checksums import check_checksums, sha256
from weights.errors import UnknownWorldError, WeightsError
from weights.hub import Notice, to_stderr
from weights.manifest import LICENCE, MANIFEST, REPOSITORY, Published

LARGE = 1_000_000_000
"""Downloads of more bytes are announced."""


@dataclass(frozen=True)
class Entry:
    """One world and its source."""

    name: str
    """Such as ``atari/Breakout``."""
    origin: Literal["bundled", "cached", "hub"]
    """In this package, in the cache of ``huggingface_hub``, or on the hub (not downloaded yet)."""
    path: Path | None
    """The world folder or the published checkpoint; None if it is not downloaded yet."""
    size_bytes: int
    """Size on disk; for a world on the hub the approximate size of the download."""
    licence: str
    """Licence of the weights, as far as known."""


def catalogue() -> list[Entry]:
    """All worlds by name, each with the source that ``locate`` would use. Uses no network and checks nothing."""
    bundled = bundled_worlds()
    entries = [_bundled_entry(name, folder) for name, folder in bundled.items()]
    entries += [_hub_entry(name, published) for name, published in MANIFEST.items() if name not in bundled]
    return sorted(entries, key=lambda entry: entry.name)


def locate(name: str, *, hub_only: bool = False, notice: Notice = to_stderr) -> Path:
    """A bundled world's folder, else the published checkpoint (``.pt``); ``hub_only`` passes over bundled worlds.

    The files are checked against their SHA-256. Start contexts published with a checkpoint are placed as on the hub.
    ``notice`` is called with the size and licence of a large download before it begins. Raises ``UnknownWorldError``
    for a world that is not published, ``WeightsError`` if it is damaged or out of reach.
    """
    folder = None if hub_only else bundled_folder(name)
    if folder is not None:
        check_checksums(folder)
        return folder
    if name not in MANIFEST:
        raise UnknownWorldError(
            f"no world named {name!r} is bundled or published: 'diamond-play list' shows those there are"
        )
    published = MANIFEST[name]
    try:
        checkpoint = hub.fetch(published.checkpoint, partial(_announce, name, published, notice))
        for file in published.spawns:
            hub.fetch(file)
    except hub.UnreachableError as error:
        raise WeightsError(f"{error}: {_by_other_means(published)}{_offline()}") from error
    return checkpoint


def check_published(name: str, path: Path) -> bool:
    """Whether a local file is the published checkpoint. A file of another size is another checkpoint.

    Raises ``WeightsError`` if it has the published size but not the published SHA-256: it was altered or damaged.
    """
    file = MANIFEST[name].checkpoint
    if path.stat().st_size != file.size_bytes:
        return False
    if sha256(path) != file.sha256:
        raise WeightsError(
            f"{path} was altered or damaged (its SHA-256 is not the published one): get {file.url} again"
        )
    return True


def _announce(name: str, published: Published, notice: Notice) -> None:
    if published.size_bytes > LARGE:
        size = published.size_bytes / 1e9
        notice(f"downloading {name}, once: {size:.1f} GB from huggingface.co/{REPOSITORY} (licence: {LICENCE})")


def _by_other_means(published: Published) -> str:
    file = published.checkpoint
    get = f"get {file.url} ({file.size_bytes / 1e6:.0f} MB)"
    if not published.spawns:
        return f"{get} by other means and pass it with --weights PATH"
    spawns = PurePosixPath(published.spawns[0].path).parents[1]
    return f"{get} and {spawns}, keep them as {file.path} and {spawns} in a folder and pass it with --weights PATH"


def _offline() -> str:
    names = [name.replace("/", " ") for name in bundled_worlds()]
    return "; works offline: " + ", ".join(f"'diamond-play {name}'" for name in names) if names else ""


def _bundled_entry(name: str, folder: Path) -> Entry:
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Entry(name, "bundled", folder, size, _stated_licence(folder / "world.yaml"))


def _stated_licence(path: Path) -> str:
    try:
        return str(yaml.safe_load(path.read_text(encoding="utf-8"))["provenance"]["licence"])
    except Exception:  # the list of worlds does not report damaged ones
        return "not stated"


def _hub_entry(name: str, published: Published) -> Entry:
    path = hub.cached(published.checkpoint)
    return Entry(name, "hub" if path is None else "cached", path, published.size_bytes, LICENCE)
