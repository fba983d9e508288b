"""The window thread: polls input at display rate, never touches the model, and always draws the newest view."""

from __future__ import annotations

import os
import sys

import pygame

from diamond_engine.errors import DiamondError
from play.bindings import WindowCommand
from play.genres import Genre
from play.hud import Hud, Looks, window_size
from play.pointer import Pointer
from play.runner import SessionThread
from play.view import Command, Loading, Snapshot

DISPLAY_RATE = 60
DOTS_RATE = 3
DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")


def has_display() -> bool:
    """Whether a window should open. Any ``SDL_VIDEODRIVER`` counts as a display."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in DISPLAY_VARIABLES)


def show(session: SessionThread, genre: Genre, sensitivity: float = 1.0) -> None:
    """Shows a session in a window until it finishes or the window is closed."""
    window = Window(session, genre, sensitivity)
    try:
        window.run()
    finally:
        window.close()


class Window:
    """A resizable window on a running session. Only the main thread makes and uses it."""

    def __init__(self, session: SessionThread, genre: Genre, sensitivity: float = 1.0) -> None:
        """Opens the window. Raises ``DiamondError`` if there is no display."""
        self.session = session
        self.open = True
        self.pointer = Pointer(genre.keymap.clicks, sensitivity)
        self._keymap = genre.keymap
        self._size = window_size(genre.frame_size, genre.scale, genre.keymap)
        self._full_screen = False
        self._show_help = self._show_inset = False
        try:
            pygame.display.init()
            self.screen = pygame.display.set_mode(self._size, pygame.RESIZABLE)  # follows the window's size
        except pygame.error as error:
            pygame.display.quit()
            raise DiamondError(f"cannot open a window ({error}): play with --headless") from error
        pygame.display.set_caption(f"{genre.title} | diamond-engine")
        self._hud = Hud(genre.keymap, self.screen)
        pygame.joystick.init()
        self._pads: dict[int, pygame.joystick.JoystickType] = {}
        self._clock = pygame.time.Clock()
        self._ticks = 0
        self._drawn: object = None

    def run(self) -> None:
        """Shows the session until it finishes or the window is closed."""
        while self.open and not self.session.finished.is_set():
            self.update()

    def update(self) -> None:
        """Handles new events, draws a new view, and waits for the display's next frame.

        Without the wait it would take the processor, and Python's lock, from the session thread.
        """
        events = pygame.event.get()
        for event in events:
            self._handle(event)
        view, looks = self.session.view, self._looks()
        dots = self._ticks * DOTS_RATE // DISPLAY_RATE if isinstance(view, Loading) else 0
        if events or (view, looks, dots) != self._drawn:
            self._hud.draw(self.screen, view, looks, dots)
            pygame.display.flip()
            self._drawn = (view, looks, dots)
        self._ticks += 1
        self._clock.tick(DISPLAY_RATE)

    def close(self) -> None:
        """Closes the window."""
        self.pointer.free()
        pygame.quit()

    def _handle(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.open = False
        elif event.type == pygame.JOYDEVICEADDED:
            pad = pygame.joystick.Joystick(event.device_index)
            self._pads[pad.get_instance_id()] = pad  # a pad that is not opened sends no events
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)
        view = self.session.view
        moves = isinstance(view, Snapshot) and view.person_moves
        self.pointer.handle(event, self.session.latch, moves)
        command = self._keymap.translate(event, self.session.latch, moves or isinstance(view, Loading))
        if isinstance(command, Command):
            self.session.send(command)
        elif command is not None:
            self._obey(command)

    def _obey(self, command: WindowCommand) -> None:
        match command:
            case WindowCommand.HELP:
                self._show_help = not self._show_help
            case WindowCommand.INSET:
                self._show_inset = not self._show_inset
            case WindowCommand.FULL_SCREEN:
                self._toggle_full_screen()
            case WindowCommand.MORE_SENSITIVE:
                self.pointer.more_sensitive()
            case WindowCommand.LESS_SENSITIVE:
                self.pointer.more_sensitive(-1)
            case WindowCommand.LEAVE if self.pointer.captured:
                self.pointer.free()
            case WindowCommand.LEAVE:
                self.open = False

    def _toggle_full_screen(self) -> None:
        self._full_screen = not self._full_screen
        if self._full_screen:
            self._size = self.screen.get_size()
            self.screen = pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        else:
            self.screen = pygame.display.set_mode(self._size, pygame.RESIZABLE)
        self.pointer.window_switched()

    def _looks(self) -> Looks:
        return Looks(self._show_help, self._show_inset, self.pointer.hint, self.pointer.sensitivity)
