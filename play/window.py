"""The window thread: polls input at display rate, never touches the model, and always draws the newest view."""

from __future__ import annotations

import os
import sys

import pygame

from diamond_engine.errors import DiamondError
from play.bindings import WindowCommand, translate
from play.hud import MARGIN, PANEL_WIDTH, Hud
from play.runner import SessionThread
from play.view import Command, Loading, Player, Snapshot

SIZE = (64 * 10 + 2 * MARGIN + PANEL_WIDTH, 64 * 10 + 2 * MARGIN)
DISPLAY_RATE = 60
DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")


def has_display() -> bool:
    """Whether a window can be expected to open. ``SDL_VIDEODRIVER`` counts as a display, whatever it names."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in DISPLAY_VARIABLES)


def show(session: SessionThread, title: str) -> None:
    """Shows a session in a window until it finishes or the window is closed."""
    window = Window(session, title)
    try:
        window.run()
    finally:
        window.close()


class Window:
    """A resizable window on a running session. One thread makes it and calls all of it: the main thread."""

    def __init__(self, session: SessionThread, title: str) -> None:
        """Opens the window. Raises ``DiamondError`` where there is no display after all."""
        self.session = session
        self.show_help = False
        self.open = True
        try:
            pygame.display.init()
            self.screen = pygame.display.set_mode(SIZE, pygame.RESIZABLE)  # follows the window's size
        except pygame.error as error:
            pygame.display.quit()
            raise DiamondError(f"cannot open a window ({error}): play with --headless") from error
        pygame.display.set_caption(title)
        self._hud = Hud(self.screen)
        pygame.joystick.init()
        self._pads: dict[int, pygame.joystick.JoystickType] = {}
        self._drawn: Loading | Snapshot | None = None
        self._ticks = 0

    def run(self) -> None:
        """Shows the session until it finishes or the window is closed."""
        clock = pygame.time.Clock()
        while self.open and not self.session.finished.is_set():
            self.update()
            clock.tick(DISPLAY_RATE)

    def update(self) -> None:
        """Handles the events that came in and draws what is new."""
        events = pygame.event.get()
        for event in events:
            self._handle(event)
        view = self.session.view
        if events or view is not self._drawn or isinstance(view, Loading):
            self._hud.draw(view, self.show_help, self._ticks)
            pygame.display.flip()
            self._drawn = view
        self._ticks += 1

    def close(self) -> None:
        """Takes the window away."""
        pygame.quit()

    def _handle(self, event: pygame.event.Event) -> None:
        if event.type == pygame.JOYDEVICEADDED:
            pad = pygame.joystick.Joystick(event.device_index)
            self._pads[pad.get_instance_id()] = pad  # a pad that nobody holds sends no events
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)
        command = translate(event, self.session.latch, self._arrows_move())
        match command:
            case WindowCommand.QUIT:
                self.open = False
            case WindowCommand.HELP:
                self.show_help = not self.show_help
            case Command():
                self.session.send(command)
            case None:
                pass

    def _arrows_move(self) -> bool:
        view = self.session.view
        return isinstance(view, Loading) or (view.player is Player.PERSON and not view.paused)
