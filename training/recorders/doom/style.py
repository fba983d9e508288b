"""How a recording is played: where in the level, with or without monsters, and how much of it to no purpose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """What all episodes of a folder share, beside the seed; the defaults are the whole game."""

    reach: int = 0
    """Cells (half a body's width) of the way from the start of the level that it keeps within; 0: all of the level."""
    monsters: bool = True
    """Whether there are monsters."""
    wander: float = 0.0
    """Share of the time in which keys and mouse are random: of use to learn what an action does, whatever is seen."""
    scenario: str = ""
    """One of ``SCENARIOS``, played instead of the game."""
