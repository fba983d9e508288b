"""Writing files so that a crash at any moment leaves the old file or the new one, never half of one."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED_SECONDS = 3600
"""A temporary file that nobody has written to for so long was left by a process that was killed."""


@contextmanager
def atomic_path(path: Path, *, exclusive: bool = False) -> Generator[Path]:
    """Yields a temporary name beside ``path``; renames it to ``path`` on success and removes it on any failure.

    With ``exclusive`` a file that came into being under the name meanwhile is kept and ``FileExistsError`` raised. An
    ``OSError`` names ``path``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        _link(temporary, path) if exclusive else temporary.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    """Gives a file a name that must be new; where the file system has no links, the check is not airtight."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(path) from None
        temporary.replace(path)


def remove_abandoned(folder: Path) -> None:
    """Removes the temporary files that writers which were killed left in a folder."""
    for path in folder.glob(".*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Replaces ``path`` with ``text`` (UTF-8) atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
