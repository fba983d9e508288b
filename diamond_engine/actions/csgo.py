"""The CS:GO action: keys, clicks and mouse motion as a vector of 51 zeros and ones.

Entries: 0-10 the keys of ``KEYS``; 11 and 12 left and right click; 13-35 the mouse-x bin and 36-50 the mouse-y bin,
one-hot, ascending. "No movement" is ``IDLE_MOUSE_X`` = 24 and ``IDLE_MOUSE_Y`` = 43.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond_engine.errors import DiamondError

KEYS = ("w", "a", "s", "d", "space", "left ctrl", "left shift", "1", "2", "3", "r")
"""The keys that have an entry, in the order of the entries."""
ARROW_MOTION = {"left": ("x", -60.0), "right": ("x", 60.0), "up": ("y", -50.0), "down": ("y", 50.0)}
"""The arrow keys have no entry: each stands for a motion of the mouse along one axis."""
FORBIDDEN_PAIRS = frozenset(
    frozenset(pair) for pair in (("w", "s"), ("a", "d"), *combinations("123", 2), ("up", "down"), ("left", "right"))
)
"""Keys that are never down together: the one pressed later is dropped."""


def _mirrored(*positive: float) -> tuple[float, ...]:
    return (*(-value for value in reversed(positive)), 0.0, *positive)


MOUSE_X_BINS = _mirrored(2, 4, 10, 20, 30, 60, 100, 200, 300, 500, 1000)
"""Motions to the right, in mouse counts."""
MOUSE_Y_BINS = _mirrored(2, 4, 10, 20, 50, 100, 200)
"""Motions downwards, in mouse counts."""
LEFT_CLICK = len(KEYS)
RIGHT_CLICK = LEFT_CLICK + 1
FIRST_MOUSE_X = RIGHT_CLICK + 1
FIRST_MOUSE_Y = FIRST_MOUSE_X + len(MOUSE_X_BINS)
NUM_ACTIONS = FIRST_MOUSE_Y + len(MOUSE_Y_BINS)
IDLE_MOUSE_X = FIRST_MOUSE_X + MOUSE_X_BINS.index(0)
IDLE_MOUSE_Y = FIRST_MOUSE_Y + MOUSE_Y_BINS.index(0)
NAMES = (
    *KEYS,
    "left click",
    "right click",
    *(f"mouse x {motion:+.0f}" for motion in MOUSE_X_BINS),
    *(f"mouse y {motion:+.0f}" for motion in MOUSE_Y_BINS),
)
"""What each entry of the vector is called."""


@dataclass(frozen=True)
class CsgoAction:
    """Keyboard and mouse input of one step."""

    keys: tuple[str, ...] = ()
    """Keys that are down, in the order pressed: names of ``KEYS`` and, as raw input, of ``ARROW_MOTION``."""
    mouse_x: float = 0.0
    """Motion to the right, in mouse counts."""
    mouse_y: float = 0.0
    """Motion downwards, in mouse counts."""
    left_click: bool = False
    """Whether the left button was down."""
    right_click: bool = False
    """Whether the right button was down."""


IDLE = CsgoAction()
"""No key, no click, no motion."""


def encode(action: CsgoAction) -> NDArray[np.uint8]:
    """The vector ``(51,)`` of zeros and ones of an action.

    Motion is clipped to the bins and snapped to the nearest, ties to the lower. An arrow key overrides the mouse along
    its axis. A key that completes a forbidden pair with one pressed before it is dropped. Raises ``DiamondError`` for
    an unknown key.
    """
    motion = {"x": action.mouse_x, "y": action.mouse_y}
    vector = np.zeros(NUM_ACTIONS, dtype=np.uint8)
    for key in _allowed(action.keys):
        if key in ARROW_MOTION:
            axis, motion[axis] = ARROW_MOTION[key]
        else:
            vector[KEYS.index(key)] = 1
    vector[LEFT_CLICK] = action.left_click
    vector[RIGHT_CLICK] = action.right_click
    vector[FIRST_MOUSE_X + _nearest(MOUSE_X_BINS, motion["x"])] = 1
    vector[FIRST_MOUSE_Y + _nearest(MOUSE_Y_BINS, motion["y"])] = 1
    return vector


def decode(vector: NDArray[Any]) -> CsgoAction:
    """The action of a vector ``(51,)``. Entries above 0 count as set; the motion is that of the bins.

    The mouse does not move along an axis with no bin set. Raises ``DiamondError`` where the shape is not ``(51,)``.
    """
    if vector.shape != (NUM_ACTIONS,):
        raise DiamondError(f"a CS:GO action is a vector of {NUM_ACTIONS} entries, not an array of shape {vector.shape}")
    entries = [bool(entry) for entry in vector > 0]
    return CsgoAction(
        keys=tuple(key for key, down in zip(KEYS, entries, strict=False) if down),
        mouse_x=_motion(MOUSE_X_BINS, entries[FIRST_MOUSE_X:FIRST_MOUSE_Y]),
        mouse_y=_motion(MOUSE_Y_BINS, entries[FIRST_MOUSE_Y:]),
        left_click=entries[LEFT_CLICK],
        right_click=entries[RIGHT_CLICK],
    )


def _allowed(keys: Iterable[str]) -> list[str]:
    allowed: list[str] = []
    for key in keys:
        if key not in KEYS and key not in ARROW_MOTION:
            raise DiamondError(f"unknown key {key!r}: a CS:GO action knows {', '.join((*KEYS, *ARROW_MOTION))}")
        if not any(frozenset((key, other)) in FORBIDDEN_PAIRS for other in allowed):
            allowed.append(key)
    return allowed


def _nearest(bins: tuple[float, ...], motion: float) -> int:
    return min(range(len(bins)), key=lambda i: abs(bins[i] - motion))


def _motion(bins: tuple[float, ...], entries: list[bool]) -> float:
    return bins[entries.index(True)] if True in entries else 0.0
