"""Which keys, buttons and axes of keyboard and mouse a game has, and what is done with them as a vector.

The entries of a vector, zeros and ones: one for each key, one for each button, then one-hot the bin of the mouse's
motion along x and along y, ascending, where the game has these axes. Shapes: A entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond_engine.errors import DiamondError

LEFT_CLICK, RIGHT_CLICK = BUTTONS = ("left click", "right click")
ARROW_MOTION = {"left": ("x", -60.0), "right": ("x", 60.0), "up": ("y", -50.0), "down": ("y", 50.0)}
"""An arrow key that is no key of the game stands for a motion of the mouse along one axis, in counts."""
OPPOSITE_ARROWS = frozenset((frozenset(("up", "down")), frozenset(("left", "right"))))
KEY_NAMES = frozenset(
    (
        *(*"abcdefghijklmnopqrstuvwxyz0123456789", "space", "tab", *ARROW_MOTION),
        *(f"{side} {name}" for side in ("left", "right") for name in ("ctrl", "shift", "alt")),
    )
)
MOST_KEYS, MOST_MOTIONS = 40, 32
JOIN = "+"


@dataclass(frozen=True)
class HandAction:
    """Keyboard and mouse input of one step."""

    keys: tuple[str, ...] = ()
    """Keys that are down, in the order pressed: names of ``KEY_NAMES``; of arrow keys see ``ARROW_MOTION``."""
    mouse_x: float = 0.0
    """Motion to the right, in mouse counts."""
    mouse_y: float = 0.0
    """Motion downwards, in mouse counts."""
    left_click: bool = False
    """Whether the left button was down."""
    right_click: bool = False
    """Whether the right button was down."""


IDLE = HandAction()
"""No key, no click, no motion."""


@dataclass(frozen=True)
class KeyMap:
    """What of keyboard and mouse has a meaning in a game. Raises ``ValueError`` for what cannot be."""

    keys: tuple[str, ...] = ()
    """Keys, in the order of their entries: names of ``KEY_NAMES``, at most 40."""
    buttons: tuple[str, ...] = ()
    """Buttons of the mouse: ``left click``, ``right click``, both or none."""
    mouse_x: tuple[float, ...] = ()
    """Motions to the right that are told apart, in mouse counts, ascending; the same to the left. Empty: no axis."""
    mouse_y: tuple[float, ...] = ()
    """The same downwards, and upwards."""
    never_together: tuple[str, ...] = ()
    """Keys joined by ``+`` of which one at most is down: those pressed later are dropped."""

    def __post_init__(self) -> None:
        for name, values, known in (("keys", self.keys, KEY_NAMES), ("buttons", self.buttons, BUTTONS)):
            unknown = [value for value in values if value not in known]
            if unknown or len(set(values)) != len(values):
                what = f"has no {unknown[0]!r}" if unknown else "names one twice"
                raise ValueError(f"{name} {what}: use each once of {', '.join(sorted(known))}")
        if len(self.keys) > MOST_KEYS or not (self.keys or self.buttons or self.mouse_x or self.mouse_y):
            raise ValueError(f"a key map has keys (at most {MOST_KEYS}), buttons, mouse_x or mouse_y")
        for name, motions in (("mouse_x", self.mouse_x), ("mouse_y", self.mouse_y)):
            ascending = all(low < high for low, high in zip((0.0, *motions), motions, strict=False))
            if not ascending or len(motions) > MOST_MOTIONS or not np.isfinite(motions).all():
                raise ValueError(f"{name} must be motions above 0, ascending, at most {MOST_MOTIONS}")
        for group in self.never_together:
            if len(group.split(JOIN)) < 2 or not set(group.split(JOIN)) <= set(self.keys):
                raise ValueError(f"never_together: {group!r} must be two or more of the keys, joined by {JOIN}")

    @cached_property
    def mouse_x_bins(self) -> tuple[float, ...]:
        """All motions along x, ascending, in mouse counts."""
        return _mirrored(self.mouse_x)

    @cached_property
    def mouse_y_bins(self) -> tuple[float, ...]:
        """All motions along y, ascending, in mouse counts."""
        return _mirrored(self.mouse_y)

    @cached_property
    def arrows(self) -> dict[str, tuple[str, float]]:
        """Those of ``ARROW_MOTION`` that stand for a motion here."""
        axes = {"x": self.mouse_x, "y": self.mouse_y}
        return {key: turn for key, turn in ARROW_MOTION.items() if axes[turn[0]] and key not in self.keys}

    @cached_property
    def forbidden_pairs(self) -> frozenset[frozenset[str]]:
        """Keys that are never down together: the one pressed later is dropped."""
        pairs = (pair for group in self.never_together for pair in combinations(group.split(JOIN), 2))
        turning = (pair for pair in OPPOSITE_ARROWS if pair <= self.arrows.keys())
        return frozenset((*map(frozenset, pairs), *turning))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each of the A entries is called."""
        turns = (("x", self.mouse_x_bins), ("y", self.mouse_y_bins))
        return (*self.keys, *self.buttons, *(f"mouse {axis} {motion:+g}" for axis, bins in turns for motion in bins))

    @property
    def size(self) -> int:
        """Entries A of a vector."""
        return len(self.names)

    def encode(self, action: HandAction) -> NDArray[np.uint8]:
        """The vector uint8 ``(A,)`` of zeros and ones of an action.

        Motion is clipped to the bins and snapped to the nearest, ties to the lower; along an axis that the game lacks
        it is left out. An arrow key overrides the mouse along its axis. A key that completes a forbidden pair with one
        pressed before it is dropped. Raises ``DiamondError`` for a key or a click that the game lacks.
        """
        motion = {"x": action.mouse_x, "y": action.mouse_y}
        clicks = [name for name, down in zip(BUTTONS, (action.left_click, action.right_click), strict=True) if down]
        vector = np.zeros(self.size, dtype=np.uint8)
        for key in self._allowed(action.keys):
            if key in self.arrows:
                axis, motion[axis] = self.arrows[key]
            else:
                vector[self.names.index(key)] = 1
        for click in clicks:
            if click not in self.buttons:
                raise DiamondError(f"there is no {click} in this game: it knows {', '.join(self._known)}")
            vector[self.names.index(click)] = 1
        first = len(self.keys) + len(self.buttons)
        for axis, bins in (("x", self.mouse_x_bins), ("y", self.mouse_y_bins)):
            if bins:
                vector[first + _nearest(bins, motion[axis])] = 1
            first += len(bins)
        return vector

    def decode(self, vector: NDArray[Any]) -> HandAction:
        """The action of a vector ``(A,)``. Entries above 0 count as set; the motion is that of the bins.

        The mouse does not move along an axis with no bin set. Raises ``DiamondError`` where the shape is not ``(A,)``.
        """
        if vector.shape != (self.size,):
            raise DiamondError(f"an action is a vector of {self.size} entries, not an array of shape {vector.shape}")
        down = [name for name, entry in zip(self.names, vector > 0, strict=True) if entry]
        first = len(self.keys) + len(self.buttons)
        second = first + len(self.mouse_x_bins)
        return HandAction(
            keys=tuple(key for key in down if key in self.keys),
            mouse_x=_motion(self.mouse_x_bins, vector[first:second]),
            mouse_y=_motion(self.mouse_y_bins, vector[second:]),
            left_click=LEFT_CLICK in down,
            right_click=RIGHT_CLICK in down,
        )

    def to_json(self) -> str:
        """One line, for ``from_json``."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> KeyMap:
        """Raises ``ValueError`` or ``TypeError`` for something else."""
        content: dict[str, list[Any]] = json.loads(text)
        return cls(**{name: tuple(values) for name, values in content.items()})

    @property
    def _known(self) -> Iterable[str]:
        return (*self.keys, *self.buttons, *self.arrows)

    def _allowed(self, keys: Iterable[str]) -> list[str]:
        allowed: list[str] = []
        for key in keys:
            if key not in self.keys and key not in self.arrows:
                raise DiamondError(f"unknown key {key!r}: this game knows {', '.join(self._known)}")
            if not any(frozenset((key, other)) in self.forbidden_pairs for other in allowed):
                allowed.append(key)
        return allowed


def stated_key_map(attributes: Mapping[str, Any], usual: KeyMap) -> KeyMap:
    """That of an episode by its attributes. Raises as ``KeyMap.from_json`` does."""
    text = attributes.get("key_map")
    return usual if text is None else KeyMap.from_json(str(text))


def _mirrored(positive: tuple[float, ...]) -> tuple[float, ...]:
    return (*(-value for value in reversed(positive)), 0.0, *positive) if positive else ()


def _nearest(bins: tuple[float, ...], motion: float) -> int:
    return min(range(len(bins)), key=lambda i: abs(bins[i] - motion))


def _motion(bins: tuple[float, ...], entries: NDArray[Any]) -> float:
    chosen = np.flatnonzero(entries > 0)
    return bins[int(chosen[0])] if len(chosen) else 0.0
