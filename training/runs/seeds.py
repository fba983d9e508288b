"""Independent seeds for the parts of a run, derived from the given one."""

from __future__ import annotations

import hashlib

SEED_BITS = 30
"""The emulator adds the index of a game to its seed and keeps 31 bits."""


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed for a purpose, such as ``derived_seed(0, "game", 3)``; other seeds and purposes give other ones."""
    digest = hashlib.sha256("/".join(map(str, (seed, *purpose))).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - SEED_BITS)
