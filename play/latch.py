"""The input latch: the window thread writes a person's input, the session thread reads it."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass

Motion = tuple[float, float]
"""A turn of the view: to the right and down, in mouse counts."""


@dataclass(frozen=True)
class Input:
    """A person's input since the last step."""

    pressed: tuple[str, ...] = ()
    """Buttons down now or tapped since, in the order pressed, each once."""
    motion: Motion = (0.0, 0.0)
    """The sum of all motion since."""
    stamp: int = 0
    """The newest stamp before this read."""


class InputLatch:
    """Collects input between two steps, so that taps shorter than a frame are not lost.

    A *switch* is one physical key, mouse button or gamepad control and stands for a *button*, such as ``FIRE``. Several
    may stand for the same one, which is held until the last of them is released. A *tilt* is a stick held to a side: it
    moves by the same amount every step. Any thread may call any method.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Hashable, str] = {}
        self._heard: dict[tuple[Hashable, str], bool] = {}  # in the order pressed; value: whether it was read already
        self._motion: Motion = (0.0, 0.0)
        self._tilts: dict[Hashable, Motion] = {}
        self._stamp = 0

    def press(self, switch: Hashable, button: str) -> None:
        """A switch went down and stands for ``button`` until it is released."""
        with self._lock:
            if self._held.get(switch) != button:
                self._let_go(switch)
                self._heard.pop((switch, button), None)  # tapped before: move it to the end
                self._held[switch] = button
                self._heard[switch, button] = False

    def release(self, switch: Hashable) -> None:
        """A switch went up; ignored if it was not down."""
        with self._lock:
            self._let_go(switch)

    def move(self, right: float, down: float) -> None:
        """The mouse moved."""
        with self._lock:
            self._motion = (self._motion[0] + right, self._motion[1] + down)

    def tilt(self, switch: Hashable, right: float, down: float) -> None:
        """A stick now adds this motion at every step; zero at rest."""
        with self._lock:
            self._tilts[switch] = (right, down)

    def stamp(self, number: int) -> None:
        """Numbers the input so far, so that one can tell which step has read it."""
        with self._lock:
            self._stamp = number

    def release_all(self) -> None:
        """Releases everything: the window lost the keyboard or a gamepad was unplugged."""
        with self._lock:
            for switch in tuple(self._held):
                self._let_go(switch)
            self._tilts.clear()

    def read(self) -> Input:
        """All input since the last read; clears taps and motion."""
        with self._lock:
            pressed = tuple(dict.fromkeys(button for _, button in self._heard))
            moves = (self._motion, *self._tilts.values())
            self._heard = {(s, button): True for s, button in self._heard if self._held.get(s) == button}
            self._motion = (0.0, 0.0)
            stamp = self._stamp
        return Input(pressed, (sum(right for right, _ in moves), sum(down for _, down in moves)), stamp)

    def _let_go(self, switch: Hashable) -> None:
        """Releases buttons that were read; others are taps and stay until they are read."""
        button = self._held.pop(switch, None)
        if button is not None and self._heard[switch, button]:
            del self._heard[switch, button]
