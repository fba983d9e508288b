"""The mouse of a first-person world: a click captures it, Esc frees it, and while it is captured it turns the view."""

from __future__ import annotations

from collections.abc import Mapping

import pygame

from play.latch import InputLatch

SENSITIVITY_FACTOR = 1.25


class Pointer:
    """The mouse, where its buttons mean something; used by the window thread alone."""

    def __init__(self, clicks: Mapping[int, str], sensitivity: float) -> None:
        self.captured = False
        self.sensitivity = sensitivity
        """Mouse counts that reach the world for each one that the mouse moves."""
        self.problem = ""
        """Why it could not be captured, in one line; empty where it could."""
        self._clicks = clicks

    def handle(self, event: pygame.event.Event, latch: InputLatch, moves: bool) -> None:
        """Passes what a mouse event clicks or turns to the latch; ``moves``: whether a person is moving now."""
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
                self.free()

    def more_sensitive(self, times: int = 1) -> None:
        """Raises the sensitivity by so many steps; lowers it where ``times`` is negative."""
        self.sensitivity *= SENSITIVITY_FACTOR**times

    def free(self) -> None:
        """Gives the mouse back to the person's desktop."""
        if self.captured:
            self.captured = False
            pygame.mouse.set_relative_mode(False)

    @property
    def hint(self) -> str:
        """What a person should know about it now; empty where it means nothing."""
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
