"""Worlds that come with this package: the folders under ``bundled/`` that hold a ``world.yaml``."""

from __future__ import annotations

from pathlib import Path

BUNDLED = Path(__file__).parent / "bundled"


def bundled_worlds() -> dict[str, Path]:
    """Folders of the bundled worlds by name, such as ``atari/Breakout``, unchecked."""
    folders = sorted(path.parent for path in BUNDLED.rglob("world.yaml"))
    return {folder.relative_to(BUNDLED).as_posix(): folder for folder in folders}


def bundled_folder(name: str) -> Path | None:
    """The folder of one bundled world, unchecked; None where it is not bundled."""
    return bundled_worlds().get(name)
