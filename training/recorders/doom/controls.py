"""The CS:GO action on Doom's controls.

| CS:GO            | Doom                                                              |
|------------------|-------------------------------------------------------------------|
| w, a, s, d       | forward, left, backward, right                                    |
| space, left ctrl | jump, crouch                                                      |
| left shift       | run: Doom walks without it (in CS:GO it is the other way round)   |
| 1, 2, 3          | shotgun, pistol, fist: the main weapon, the side arm, bare hands  |
| r                | use: opens doors (Doom's weapons need no reloading)               |
| left click       | attack                                                            |
| right click      | nothing (Doom has no second fire)                                 |
| mouse            | ``DEGREES_PER_COUNT`` a count, to the right and down              |
"""

from __future__ import annotations

from diamond_engine.actions import CsgoAction

DEGREES_PER_COUNT = 0.1
"""Turns from 0.2 degrees (the smallest bin) to 100 (the largest)."""
BUTTON_OF_KEY = {
    "w": "MOVE_FORWARD",
    "a": "MOVE_LEFT",
    "s": "MOVE_BACKWARD",
    "d": "MOVE_RIGHT",
    "space": "JUMP",
    "left ctrl": "CROUCH",
    "left shift": "SPEED",
    "1": "SELECT_WEAPON3",
    "2": "SELECT_WEAPON2",
    "3": "SELECT_WEAPON1",
    "r": "USE",
}
BUTTONS = (*BUTTON_OF_KEY.values(), "ATTACK", "TURN_LEFT_RIGHT_DELTA", "LOOK_UP_DOWN_DELTA")
"""ViZDoom's names of all buttons in use."""


def buttons(action: CsgoAction, tics: int) -> list[float]:
    """What each of ``BUTTONS`` is held at for every one of a step's game tics: 0 or 1, degrees for the last two."""
    degrees = DEGREES_PER_COUNT / tics
    held = [float(key in action.keys) for key in BUTTON_OF_KEY]
    return [*held, float(action.left_click), action.mouse_x * degrees, -action.mouse_y * degrees]
