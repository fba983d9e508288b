"""The cache folder: files that this program can make again, such as converted weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE = "DIAMOND_CACHE"


def cache_folder() -> Path:
    """The folder in the environment variable ``DIAMOND_CACHE``, or one in the platform's cache folder."""
    if os.environ.get(CACHE):
        return Path(os.environ[CACHE]).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "diamond-engine"
