"""A lock: only one process at a time works in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diamond_engine.errors import DiamondError


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes from working in the same folder. The lock ends with the process, even if it is killed."""
    with (folder / ".lock").open("w") as file:
        with suppress(ImportError):  # Windows lacks these locks
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DiamondError(f"another process is at work in {folder}: stop it, or use another --out") from error
        yield
