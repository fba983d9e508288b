"""The mouse of a first-person world: a click captures it, Esc frees it; a captured mouse turns the view."""

from __future__ import annotations

from collections.abc import Mapping

import pygame

from play.latch import InputLatch

SENSITIVITY_FACTOR = 1.25
SWITCH_MS = 2000
"""Time within which a change to or from full screen may take the focus away."""


class Pointer:
    """The mouse, if its buttons have a meaning. Only the window thread uses it."""

    def __init__(self, clicks: Mapping[int, str], sensitivity: float) -> None:
        self.captured = False
        self.sensitivity = sensitivity
        """Mouse counts passed to the world per count of the mouse."""
        self.problem = ""
        """Why it could not be captured, in one line; empty if it could."""
        self._clicks = clicks
        self._switched: int | None = None
        self._comes_back = False

    def handle(self, event: pygame.event.Event, latch: InputLatch, moves: bool) -> None:
        """Passes a mouse event to the latch. ``moves``: whether a person is moving now."""
        match event.type:
            case pygame.MOUSEBUTTONDOWN if event.button in self._clicks:
                if self.captured:
                    latch.press(("mouse", event.button), self._clicks[event.button])
                else:
                    self._capture()
            case pygame.MOUSEBUTTONUP:
                latch.release(("mouse", event.button))
            case pygame.MOUSEMOTION if self.captured and moves:
                latch.move(*(self.sensitivity * counts for counts in event.rel))
            case pygame.WINDOWFOCUSLOST:
                self._comes_back = self.captured and self._is_switching()
                self.free()
            case pygame.WINDOWFOCUSGAINED if self._comes_back:
                self._comes_back = False
                self._capture()

    def more_sensitive(self, times: int = 1) -> None:
        """Raises the sensitivity by ``times`` steps; negative lowers it."""
        self.sensitivity *= SENSITIVITY_FACTOR**times

    def free(self) -> None:
        """Gives the mouse back to the desktop."""
        if self.captured:
            self.captured = False
            pygame.mouse.set_relative_mode(False)

    def window_switched(self) -> None:
        """The window was replaced (full screen and back): a captured mouse stays captured."""
        self._switched = pygame.time.get_ticks()
        if self.captured:
            self.free()  # of the old window
            self._capture()

    def _is_switching(self) -> bool:
        return self._switched is not None and pygame.time.get_ticks() - self._switched < SWITCH_MS

    @property
    def hint(self) -> str:
        """A hint about the mouse; empty if it has no meaning."""
        if not self._clicks:
            return ""
        if self.captured:
            return "Esc frees the mouse"
        return f"{self.problem or 'click to look with the mouse (or use the arrows)'}; Esc quits"

    def _capture(self) -> None:
        try:
            pygame.mouse.set_relative_mode(True)
        except pygame.error as error:
            self.problem = f"no mouse to capture ({error}): look with the arrows or a gamepad"
        else:
            self.captured = True
