"""Atomic writes: a crash at any moment leaves the old file or the new one, never a partial one."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED_SECONDS = 3600
"""Age from which a temporary file counts as left behind by a killed process."""


@contextmanager
def atomic_path(path: Path, *, exclusive: bool = False) -> Generator[Path]:
    """Yields a temporary name beside ``path``; renames it to ``path`` on success and removes it on any failure.

    With ``exclusive`` a file that exists under the name by then is kept and ``FileExistsError`` is raised. An
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
    """Gives a file a name that must be new. On a file system without links another process may still win the race."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(path) from None
        temporary.replace(path)


def remove_abandoned(folder: Path) -> None:
    """Removes the temporary files that killed writers left in a folder."""
    for path in folder.glob(".*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Replaces ``path`` with ``text`` (UTF-8) atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
