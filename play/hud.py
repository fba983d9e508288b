"""The contents of the window: the game in crisp pixels and the state of the session beside it, or the help."""

from __future__ import annotations

from dataclasses import dataclass

import pygame

from play import strip
from play.bindings import Keymap
from play.canvas import (
    ACCENT,
    BACKGROUND,
    PANEL,
    QUIET,
    RED,
    RULE,
    SMALL_SIZE,
    TEXT,
    TEXT_SIZE,
    TITLE_SIZE,
    VALUE_SIZE,
    Canvas,
    Colour,
)
from play.view import Frame, Loading, Origin, Snapshot

PANEL_WIDTH = 248
MARGIN = 16
ROW_HEIGHT = 54
LINE_HEIGHT = 24
HELP_COLUMNS = (32, 350, 740)
HELP_SPACING = 48
LOADING_DOTS = 3


@dataclass(frozen=True)
class Looks:
    """Display settings of the person."""

    show_help: bool = False
    """Show the help instead of the game."""
    show_inset: bool = False
    """Show the frame before upsampling in a corner of the game."""
    hint: str = ""
    """Hint about the mouse."""
    sensitivity: float = 1.0
    """Sensitivity of the mouse."""


@dataclass(frozen=True)
class Row:
    """A labelled value of the panel."""

    label: str
    value: str
    share: float | None = None
    """A bar under the value, 0 to 1."""


def window_size(frame_size: tuple[int, int], scale: int, keymap: Keymap) -> tuple[int, int]:
    """Width and height of a window that shows frames ``scale`` times larger."""
    width, height = (side * scale + 2 * MARGIN for side in frame_size)
    return width + PANEL_WIDTH, height + (strip.HEIGHT if keymap.keycaps else 0)


def rows(snapshot: Snapshot, with_action: bool = True) -> list[Row]:
    """The panel's values, top to bottom; not every world has all of them."""
    seen = snapshot
    dreaming = seen.origin is not Origin.EMULATOR
    step = f"{seen.step} of {seen.horizon}" if dreaming else str(seen.step)
    share = min(1.0, seen.step / seen.horizon) if dreaming else None
    context = "" if seen.context is None else f"{seen.context[0]} (0 to {seen.context[1] - 1})"
    fps = f"{seen.fps:.1f} of {seen.frame_rate:g}" if seen.fps else "–"
    stages = [Row(name, f"{ms:.0f} ms") for name, ms in seen.stage_ms.items()] if len(seen.stage_ms) > 1 else []
    candidates = [
        Row("who plays", seen.player),
        Row("source", seen.origin or ""),
        Row("context", context),
        Row("action", seen.action if with_action else ""),
        Row("return", "" if seen.episode_return is None else f"{seen.episode_return:g}"),
        Row("step", step, share),
        Row("frames/s", fps),
        Row("model", f"{seen.step_ms:.0f} ms{', compiled' if seen.compiled else ''}"),
        *stages,
    ]
    return [row for row in candidates if row.value]


def marks(snapshot: Snapshot) -> dict[str, Colour]:
    """The marks at the panel's foot and their colours."""
    all_marks = {"recording": (snapshot.recording, RED), "paused": (snapshot.paused, ACCENT)}
    return {name: colour for name, (shown, colour) in all_marks.items() if shown}


class Hud:
    """Draws views on the window's surface, everything anew each time."""

    def __init__(self, keymap: Keymap, screen: pygame.Surface) -> None:
        self._keymap = keymap
        self._canvas = Canvas(screen)

    def draw(self, screen: pygame.Surface, view: Loading | Snapshot, looks: Looks, dots: int) -> None:
        """Draws everything; ``dots`` counts up while something is loading."""
        self._canvas.surface = screen
        screen.fill(BACKGROUND)
        area = screen.get_rect()
        if looks.show_help:
            self._draw_help()
        elif isinstance(view, Loading):
            line = f"{view.line} {'.' * (1 + dots % LOADING_DOTS)}"
            self._canvas.text(line, VALUE_SIZE, TEXT, center=area.center)
        else:
            panel = pygame.Rect(area.right - PANEL_WIDTH, 0, PANEL_WIDTH, area.height)
            self._draw_view(view, looks, pygame.Rect(0, 0, panel.left, area.height))
            self._draw_panel(view, looks, panel)

    def _draw_view(self, snapshot: Snapshot, looks: Looks, area: pygame.Rect) -> None:
        """The game, and the strip under it if there is one."""
        if self._keymap.keycaps:
            below = pygame.Rect(area.left, area.bottom - strip.HEIGHT, area.width, strip.HEIGHT)
            area = pygame.Rect(area.left, area.top, area.width, below.top - area.top)
            strip.draw(self._canvas, below, self._keymap.keycaps, snapshot.gesture, looks.sensitivity)
        height, width = snapshot.frame.shape[:2]
        scale = max(1, min(area.width // width, area.height // height))
        target = pygame.Rect(0, 0, width * scale, height * scale)
        target.center = area.center
        self._picture(snapshot.frame, target)
        if looks.show_inset and snapshot.low_res is not None:
            height, width = snapshot.low_res.shape[:2]
            inset = pygame.Rect(target.left + MARGIN, target.top + MARGIN, width * scale, height * scale)
            self._canvas.surface.fill(TEXT, inset.inflate(4, 4))
            self._picture(snapshot.low_res, inset)

    def _picture(self, frame: Frame, target: pygame.Rect) -> None:
        height, width = frame.shape[:2]
        self._canvas.picture(frame.tobytes(), (width, height), target)

    def _draw_panel(self, snapshot: Snapshot, looks: Looks, panel: pygame.Rect) -> None:
        canvas, screen = self._canvas, self._canvas.surface
        screen.fill(PANEL, panel)
        inner = panel.inflate(-2 * MARGIN, -2 * MARGIN)
        canvas.text(snapshot.title, TITLE_SIZE, TEXT, topleft=inner.topleft)
        top = inner.top + ROW_HEIGHT
        for row in rows(snapshot, with_action=not self._keymap.keycaps):
            canvas.text(row.label, SMALL_SIZE, QUIET, topleft=(inner.left, top))
            canvas.text(row.value, VALUE_SIZE, TEXT, topleft=(inner.left, top + 17))
            if row.share is not None:
                bar = pygame.Rect(inner.left, top + 42, inner.width, 3)
                screen.fill(RULE, bar)
                screen.fill(ACCENT, (*bar.topleft, round(bar.width * row.share), bar.height))
            top += ROW_HEIGHT
        self._draw_foot(snapshot, looks, inner)

    def _draw_foot(self, snapshot: Snapshot, looks: Looks, inner: pygame.Rect) -> None:
        """The hints, the marks and the message, from the bottom up."""
        canvas, foot = self._canvas, inner.bottom
        canvas.text("F1 shows the keys", SMALL_SIZE, QUIET, bottomleft=(inner.left, foot))
        for line in reversed(canvas.wrapped(looks.hint, SMALL_SIZE, inner.width)):
            foot -= LINE_HEIGHT - 4
            canvas.text(line, SMALL_SIZE, QUIET, bottomleft=(inner.left, foot))
        for name, colour in marks(snapshot).items():
            foot -= LINE_HEIGHT
            pygame.draw.circle(canvas.surface, colour, (inner.left + 5, foot - 8), 5)
            canvas.text(name, TEXT_SIZE, colour, bottomleft=(inner.left + 18, foot))
        for line in reversed(canvas.wrapped(snapshot.message, TEXT_SIZE, inner.width)):
            foot -= LINE_HEIGHT
            canvas.text(line, TEXT_SIZE, ACCENT, bottomleft=(inner.left, foot))

    def _draw_help(self) -> None:
        canvas, bindings = self._canvas, self._keymap.bindings
        canvas.text("Keys", TITLE_SIZE, TEXT, topleft=(HELP_COLUMNS[0], 2 * MARGIN))
        canvas.text("gamepad", SMALL_SIZE, QUIET, topleft=(HELP_COLUMNS[2], 2 * MARGIN + 10))
        spacing = max(LINE_HEIGHT, min(HELP_SPACING, (canvas.surface.get_height() - 100) // len(bindings)))
        for i, binding in enumerate(bindings):
            cells = ((binding.text, QUIET), (binding.shown, TEXT), (binding.pad_shown, TEXT))
            for left, (text, colour) in zip(HELP_COLUMNS, cells, strict=True):
                canvas.text(text, TEXT_SIZE, colour, topleft=(left, 90 + spacing * i))
