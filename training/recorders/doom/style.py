"""Style of a recording: area of the level, monsters, and share of random input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """Settings common to all episodes of a folder, besides the seed; the defaults are the whole game."""

    reach: int = 0
    """Cells (half a body's width) of the way from the start of the level that it keeps within; 0: all of the level."""
    monsters: bool = True
    """Whether there are monsters."""
    wander: float = 0.0
    """Share of the time with random keys and mouse: it teaches the effect of an action everywhere."""
    scenario: str = ""
    """One of ``SCENARIOS``, played instead of the game."""
