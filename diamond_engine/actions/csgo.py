"""The CS:GO action: keys, clicks and mouse motion as a vector of 51 zeros and ones.

Entries: 0-10 the keys of ``KEYS``; 11 and 12 left and right click; 13-35 the mouse-x bin and 36-50 the mouse-y bin,
one-hot, ascending. "No movement" is ``IDLE_MOUSE_X`` = 24 and ``IDLE_MOUSE_Y`` = 43.
"""

from __future__ import annotations

from diamond_engine.actions.key_map import ARROW_MOTION, BUTTONS, IDLE, HandAction, KeyMap

__all__ = ["ARROW_MOTION", "IDLE", "CsgoAction", "decode", "encode"]

CsgoAction = HandAction
KEY_MAP = KeyMap(
    keys=("w", "a", "s", "d", "space", "left ctrl", "left shift", "1", "2", "3", "r"),
    buttons=BUTTONS,
    mouse_x=(2.0, 4.0, 10.0, 20.0, 30.0, 60.0, 100.0, 200.0, 300.0, 500.0, 1000.0),
    mouse_y=(2.0, 4.0, 10.0, 20.0, 50.0, 100.0, 200.0),
    never_together=("w+s", "a+d", "1+2+3"),
)
KEYS = KEY_MAP.keys
"""The keys that have an entry, in the order of the entries."""
FORBIDDEN_PAIRS = KEY_MAP.forbidden_pairs
"""Keys that are never down together: the one pressed later is dropped."""
MOUSE_X_BINS = KEY_MAP.mouse_x_bins
"""Motions to the right, in mouse counts."""
MOUSE_Y_BINS = KEY_MAP.mouse_y_bins
"""Motions downwards, in mouse counts."""
LEFT_CLICK = len(KEYS)
RIGHT_CLICK = LEFT_CLICK + 1
FIRST_MOUSE_X = RIGHT_CLICK + 1
FIRST_MOUSE_Y = FIRST_MOUSE_X + len(MOUSE_X_BINS)
NUM_ACTIONS = KEY_MAP.size
IDLE_MOUSE_X = FIRST_MOUSE_X + MOUSE_X_BINS.index(0)
IDLE_MOUSE_Y = FIRST_MOUSE_Y + MOUSE_Y_BINS.index(0)
NAMES = KEY_MAP.names
"""What each entry of the vector is called."""
encode, decode = KEY_MAP.encode, KEY_MAP.decode
