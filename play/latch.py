"""Where the window thread leaves what is pressed, and the session thread picks it up."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from diamond_engine.actions import Button


class InputLatch:
    """Buttons held now, plus those tapped since the last read: a tap shorter than a frame is not lost.

    A *switch* is one physical key or gamepad control. Several may stand for the same button, which is held until the
    last of them is released. Any thread may call any method.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Hashable, Button] = {}
        self._tapped: set[Button] = set()

    def press(self, switch: Hashable, button: Button) -> None:
        """A switch went down and stands for ``button`` until it is released."""
        with self._lock:
            self._held[switch] = button
            self._tapped.add(button)

    def release(self, switch: Hashable) -> None:
        """A switch went up; one that was not down is ignored."""
        with self._lock:
            self._held.pop(switch, None)

    def release_all(self) -> None:
        """Lets go of everything: the window lost the keyboard or a gamepad was unplugged."""
        with self._lock:
            self._held.clear()

    def read(self) -> frozenset[Button]:
        """Buttons held now or tapped since the last read; forgets the taps."""
        with self._lock:
            pressed = frozenset(self._held.values()) | self._tapped
            self._tapped.clear()
        return pressed
