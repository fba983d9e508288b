"""ViZDoom's own small scenarios: what is theirs beside the level.

``health_gathering``: one square room with a floor of acid, in which medkits lie and every 30 tics another appears.
Walked over, a kit is gone and the picture flashes golden for three frames: that is what there is to win.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.recorders.doom.controls import BUTTONS

DATA = "freedoom2.wad"
"""Textures and things of all scenarios."""
MAP = "MAP01"


@dataclass(frozen=True)
class Scenario:
    """How a scenario is played, so that nothing happens in a recording that its pictures do not show."""

    buttons: frozenset[str]
    """Those that do something; what else is pressed does nothing, as in a game that has no use for a key."""
    console: tuple[str, ...]
    """Commands that begin a life."""
    pickups: str
    """ViZDoom's name of the variable that grows by ``PER_PICKUP`` with everything picked up."""


PER_PICKUP = 100
WALKING = frozenset({"MOVE_FORWARD", "MOVE_BACKWARD", "MOVE_LEFT", "MOVE_RIGHT", "SPEED", "TURN_LEFT_RIGHT_DELTA"})
SCENARIOS = {"health_gathering": Scenario(WALKING, ("god",), "USER1")}
"""By the name of the wad. Nobody dies: a new life in the middle of a recording would be a jump that no action makes."""
HURT = 75.0
"""Above this health one is hurt again: who is well walks over medkits in vain, and health is not to be seen."""
HURTS = "take health 50"


def used(scenario: Scenario, held: Sequence[float]) -> list[float]:
    """What ``BUTTONS`` are held at, without those that do nothing."""
    return [value if name in scenario.buttons else 0.0 for name, value in zip(BUTTONS, held, strict=True)]
