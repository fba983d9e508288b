"""ViZDoom's own small scenarios: their settings besides the level.

``health_gathering``: one square room with a floor of acid, in which medkits lie and every 30 tics another appears.
A kit that is walked over disappears, and the picture flashes golden for three frames: this is the reward.
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
    """Settings of a scenario, so that a recording has no events that its frames do not show."""

    buttons: frozenset[str]
    """Buttons with an effect; all others do nothing."""
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
    """The values of ``BUTTONS``, without those that have no effect."""
    return [value if name in scenario.buttons else 0.0 for name, value in zip(BUTTONS, held, strict=True)]
