"""A folder of checkpoints: atomic writes, the newest intact one is read, old ones are removed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path

KEPT = 2


class Checkpoints:
    """The files ``step_*.pt`` of a folder; the newest ``KEPT`` are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """All checkpoints, oldest first."""
        return sorted(self.folder.glob("step_*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Writes ``step_*.pt`` atomically, then removes what is older than the newest ``KEPT``."""
        buffer = io.BytesIO()  # in memory first: torch reports a full disk as an error of its own
        torch.save(state, buffer)
        with atomic_path(self.folder / f"step_{step:08d}.pt") as path:
            path.write_bytes(buffer.getbuffer())
        for old in self.paths()[:-KEPT]:
            old.unlink()

    def newest(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """The newest readable state; None without checkpoints. Damaged ones are reported to ``say``.

        Also removes partial files of killed processes. Raises ``DiamondError`` if all are damaged.
        """
        for leftover in self.folder.glob(".step_*.part"):
            leftover.unlink(missing_ok=True)  # another process of the same training may have removed it
        paths = self.paths()
        for path in reversed(paths):
            try:
                return _read(path)
            except MemoryError as error:
                raise DiamondError(f"{path} needs more memory than there is") from error
            except Exception as error:  # a damaged archive can raise almost any exception
                say(f"{path} is damaged ({type(error).__name__}): trying the one before")
        if paths:
            raise DiamondError(f"every checkpoint of {self.folder.parent} is damaged: delete the folder to start over")
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not verify the checksums it writes
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise ValueError("not a checkpoint") from error
    if damaged is not None:
        raise ValueError(f"{damaged} does not match its checksum")
    state = torch.load(path, weights_only=True, map_location="cpu")
    if not isinstance(state, dict):
        raise ValueError("not a checkpoint")
    return state
