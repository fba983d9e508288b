"""Gives memory that was freed back to the system.

Episodes that stay in memory lie between the activations of updates, and glibc keeps the space between them: a training
on 18,651 short episodes held 5.3 GB of freed memory after 500 updates.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from typing import Any


@cache
def _c_library() -> Any | None:
    """The C library where it can do so (glibc), else None."""
    name = ctypes.util.find_library("c")
    library = None if name is None else ctypes.CDLL(name)
    return library if hasattr(library, "malloc_trim") else None


def release_freed_memory() -> bool:
    """Returns all whole pages that are free; False where the C library cannot, or there was nothing to return."""
    library = _c_library()
    return library is not None and bool(library.malloc_trim(0))
