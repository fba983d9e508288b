"""Independent seeds for the parts of a run, all from the one that a person gives."""

from __future__ import annotations

import hashlib

SEED_BITS = 30
"""The emulator adds the index of a game to its seed and keeps 31 bits."""


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed for a purpose, such as ``derived_seed(0, "game", 3)``: neither other seeds nor other purposes share it."""
    digest = hashlib.sha256("/".join(map(str, (seed, *purpose))).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - SEED_BITS)
