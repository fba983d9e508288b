"""Random keys and mouse motions, held for some time as a person does, at any speed, independent of the view.

An explorer's actions depend on its view: it turns where the way turns. A world should learn the effect of an action
anywhere.
"""

from __future__ import annotations

import math

import numpy as np

from diamond_engine.actions import CsgoAction

WAYS = ("w", "w", "w", "w", "s", "s", "a", "a", "d", "d", "wa", "wd", "sa", "sd", "", "", "")
"""Keys to walk with, as often as they stand here."""
SHORTEST_HOLD, LONGEST_HOLD = 3, 30
"""Frames that keys, or a motion of the mouse, are held."""
RUNS, SHOOTS, TURNS, TILTS = 0.25, 0.1, 0.65, 0.15
"""Shares of the holds in which it runs, shoots, moves the mouse sideways, and up or down."""
SLOWEST_TURN, FASTEST_TURN = 2.0, 150.0
"""Mouse counts a frame; speeds between are equally likely by their logarithm."""
STEEPEST = 14.0
"""Degrees up or down beyond which the mouse comes back."""
TILT = 12.0
"""Mouse counts a frame, at most."""


class Wandering:
    """Random keys and mouse; deterministic given the generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._keys: tuple[str, ...] = ()
        self._click = False
        self._motion = np.zeros(2)
        self._keys_left = self._motion_left = 0

    def act(self, pitch: float) -> CsgoAction:
        """What to do at a frame in which one looks so many degrees down."""
        if self._keys_left == 0:
            self._take_keys()
        if self._motion_left == 0:
            self._take_motion()
        self._keys_left -= 1
        self._motion_left -= 1
        right, down = self._motion
        if abs(pitch) > STEEPEST and pitch * down >= 0:
            down = -math.copysign(TILT, pitch)
        return CsgoAction(self._keys, float(right), float(down), left_click=self._click)

    def _hold(self) -> int:
        return int(self._rng.integers(SHORTEST_HOLD, LONGEST_HOLD + 1))

    def _take_keys(self) -> None:
        self._keys_left = self._hold()
        keys = list(self._rng.choice(WAYS))
        if self._rng.random() < RUNS:
            keys.append("left shift")
        self._keys = tuple(str(key) for key in keys)
        self._click = bool(self._rng.random() < SHOOTS)

    def _take_motion(self) -> None:
        self._motion_left = self._hold()
        speed = math.exp(self._rng.uniform(math.log(SLOWEST_TURN), math.log(FASTEST_TURN)))
        turns, tilts = self._rng.random() < TURNS, self._rng.random() < TILTS
        self._motion = np.array([turns * speed * self._rng.choice((-1, 1)), tilts * self._rng.uniform(-TILT, TILT)])
