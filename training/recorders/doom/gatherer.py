"""A scripted player of ``health_gathering``: alternates between going to the nearest medkit in sight and random input.

Both sometimes press keys without an effect in the scenario, so that a world learns that they have none.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from diamond_engine.actions import CsgoAction
from training.recorders.doom.explorer import EIGHT_WAYS, STRETCH, Hand, turn_between
from training.recorders.doom.game import View
from training.recorders.doom.wandering import Wandering

USELESS_KEYS = ("space", "left ctrl", "1", "2", "3", "r")
USELESS_CHANCE, CLICK_CHANCE, TILT_CHANCE = 0.04, 0.04, 0.2
"""Per frame, of a useless key, of either mouse button, of a motion of the mouse up or down."""
FLICK_CHANCE = 0.02
FLICKS = (-300, -200, 200, 300)
"""Mouse counts to the side of the one frame of a flick, faster than either way of playing turns."""
STEEPEST_MOTION = 200.0
"""Mouse counts up or down."""
SHORTEST_SWAY, LONGEST_SWAY = 10, 40
"""Frames for which it keeps a way of going to a medkit."""
RUNS, SIDEWAYS = 0.4, 0.3
"""Shares of the ways in which it runs, and in which it looks beside the medkit and walks askew."""
MOST_ASKEW = 70.0
"""Degrees."""
SEARCHING = 60.0
"""Degrees that it wants to turn by where no medkit is in sight."""
WALKS_WITHIN = 100.0
"""Degrees off the way within which it walks and does not turn in place."""


class Gatherer:
    """Plays one episode; deterministic given the generator."""

    def __init__(self, rng: np.random.Generator, wander: float) -> None:
        """``wander``: the share of the time in which its keys and mouse are random."""
        self._rng = rng
        self._wander = wander
        self.begin_life()

    def begin_life(self) -> None:
        """Forgets its plan."""
        self._hand = Hand(self._rng)
        self._wandering: Wandering | None = None
        self._stretch = self._sway = 0
        self._runs = False
        self._askew = 0.0
        self._search = SEARCHING

    def act(self, view: View) -> CsgoAction:
        """The action at a frame."""
        if self._stretch == 0:
            self._stretch = int(self._rng.integers(STRETCH[0], STRETCH[1] + 1))
            self._wandering = Wandering(self._rng) if self._rng.random() < self._wander else None
        self._stretch -= 1
        action = self._gather(view) if self._wandering is None else self._wandering.act(view.pitch)
        if self._rng.random() < FLICK_CHANCE:
            action = replace(action, mouse_x=float(self._rng.choice(FLICKS)))
        return self._with_useless(action)

    def _gather(self, view: View) -> CsgoAction:
        if self._sway == 0:
            self._change_way()
        self._sway -= 1
        kit = min(view.items, key=lambda item: math.dist(item, (view.x, view.y)), default=None)
        if kit is None:
            return CsgoAction((), self._hand.move(self._search, 0.0)[0])
        heading = math.degrees(math.atan2(kit[1] - view.y, kit[0] - view.x))
        off = turn_between(view.yaw, heading)
        keys = list(EIGHT_WAYS[round(off / 45) % 8]) if abs(off) < WALKS_WITHIN else []
        keys += ["left shift"] * self._runs
        return CsgoAction(tuple(keys), self._hand.move(-turn_between(view.yaw, heading + self._askew), 0.0)[0])

    def _change_way(self) -> None:
        self._sway = int(self._rng.integers(SHORTEST_SWAY, LONGEST_SWAY + 1))
        self._runs = bool(self._rng.random() < RUNS)
        askew = self._rng.random() < SIDEWAYS
        self._askew = float(askew * self._rng.uniform(-MOST_ASKEW, MOST_ASKEW))
        self._search = float(self._rng.choice((-1, 1)) * SEARCHING)

    def _with_useless(self, action: CsgoAction) -> CsgoAction:
        keys = action.keys
        if self._rng.random() < USELESS_CHANCE:
            keys = (*keys, str(self._rng.choice(USELESS_KEYS)))
        tilts = self._rng.random() < TILT_CHANCE
        return replace(
            action,
            keys=keys,
            mouse_y=float(tilts * self._rng.uniform(-1, 1) * STEEPEST_MOTION),
            left_click=bool(self._rng.random() < CLICK_CHANCE),
            right_click=bool(self._rng.random() < CLICK_CHANCE),
        )
