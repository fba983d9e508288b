"""What the window shows: the game in crisp pixels, beside it the state of the session; or the help."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pygame

from play.bindings import BINDINGS
from play.view import Loading, Origin, Snapshot

PANEL_WIDTH = 248
MARGIN = 16
Colour = tuple[int, int, int]
BACKGROUND = (17, 18, 23)
PANEL = (25, 27, 34)
RULE = (48, 51, 62)
TEXT = (232, 233, 238)
QUIET = (139, 143, 158)
ACCENT = (255, 176, 84)
RED = (242, 92, 84)
TITLE_SIZE, VALUE_SIZE, TEXT_SIZE, SMALL_SIZE = 36, 27, 21, 19
ROW_HEIGHT = 54
LINE_HEIGHT = 24
HELP_COLUMNS = (32, 350, 740)
HELP_SPACING = 48
LOADING_DOTS = 3


@dataclass(frozen=True)
class Row:
    """A labelled value of the panel."""

    label: str
    value: str
    share: float | None = None
    """A bar under the value, 0 to 1."""


def rows(snapshot: Snapshot) -> list[Row]:
    """The panel's values, top to bottom."""
    dreaming = snapshot.origin is Origin.DREAM
    step = f"{snapshot.step} of {snapshot.horizon}" if dreaming else str(snapshot.step)
    return [
        Row("who plays", snapshot.player),
        Row("source", snapshot.origin),
        Row("action", snapshot.action),
        Row("return", f"{snapshot.episode_return:g}"),
        Row("step", step, min(1.0, snapshot.step / snapshot.horizon) if dreaming else None),
        Row("frames/s", f"{snapshot.fps:.1f}" if snapshot.fps else "–"),
        Row("model", f"{snapshot.step_ms:.0f} ms"),
    ]


def marks(snapshot: Snapshot) -> dict[str, Colour]:
    """The marks at the panel's foot and their colours."""
    all_marks = {"recording": (snapshot.recording, RED), "paused": (snapshot.paused, ACCENT)}
    return {name: colour for name, (shown, colour) in all_marks.items() if shown}


class Hud:
    """Draws views on a surface, the whole of it each time."""

    def __init__(self, screen: pygame.Surface) -> None:
        self._screen = screen
        pygame.font.init()
        self._fonts: dict[int, pygame.font.Font] = {}

    def draw(self, view: Loading | Snapshot, show_help: bool, tick: int) -> None:
        """Draws everything; ``tick`` counts redraws and moves the dots of the progress line."""
        self._screen.fill(BACKGROUND)
        area = self._screen.get_rect()
        if show_help:
            self._draw_help()
        elif isinstance(view, Loading):
            self._text(f"{view.line} {'.' * (1 + tick // 20 % LOADING_DOTS)}", VALUE_SIZE, TEXT, center=area.center)
        else:
            self._draw_game(view, pygame.Rect(0, 0, area.width - PANEL_WIDTH, area.height))
            self._draw_panel(view, pygame.Rect(area.right - PANEL_WIDTH, 0, PANEL_WIDTH, area.height))

    def _draw_game(self, snapshot: Snapshot, area: pygame.Rect) -> None:
        """The frame at the largest whole multiple of its size that fits, nearest neighbour."""
        height, width = snapshot.frame.shape[:2]
        scale = max(1, min(area.width // width, area.height // height))
        image = pygame.image.frombuffer(snapshot.frame.tobytes(), (width, height), "RGB")
        target = pygame.Rect(0, 0, width * scale, height * scale)
        target.center = area.center
        self._screen.blit(pygame.transform.scale(image, target.size), target)

    def _draw_panel(self, snapshot: Snapshot, panel: pygame.Rect) -> None:
        self._screen.fill(PANEL, panel)
        inner = panel.inflate(-2 * MARGIN, -2 * MARGIN)
        self._text(snapshot.game, TITLE_SIZE, TEXT, topleft=inner.topleft)
        top = inner.top + ROW_HEIGHT
        for row in rows(snapshot):
            self._text(row.label, SMALL_SIZE, QUIET, topleft=(inner.left, top))
            self._text(row.value, VALUE_SIZE, TEXT, topleft=(inner.left, top + 17))
            if row.share is not None:
                bar = pygame.Rect(inner.left, top + 42, inner.width, 3)
                self._screen.fill(RULE, bar)
                self._screen.fill(ACCENT, (*bar.topleft, round(bar.width * row.share), bar.height))
            top += ROW_HEIGHT
        self._draw_foot(snapshot, inner)

    def _draw_foot(self, snapshot: Snapshot, inner: pygame.Rect) -> None:
        """From the bottom up: the hint at the help, the marks, the message."""
        foot = inner.bottom
        self._text("F1 shows the keys", SMALL_SIZE, QUIET, bottomleft=(inner.left, foot))
        for name, colour in marks(snapshot).items():
            foot -= LINE_HEIGHT
            pygame.draw.circle(self._screen, colour, (inner.left + 5, foot - 8), 5)
            self._text(name, TEXT_SIZE, colour, bottomleft=(inner.left + 18, foot))
        for line in reversed(self._wrapped(snapshot.message, inner.width)):
            foot -= LINE_HEIGHT
            self._text(line, TEXT_SIZE, ACCENT, bottomleft=(inner.left, foot))

    def _draw_help(self) -> None:
        self._text("Keys", TITLE_SIZE, TEXT, topleft=(HELP_COLUMNS[0], 2 * MARGIN))
        self._text("gamepad", SMALL_SIZE, QUIET, topleft=(HELP_COLUMNS[2], 2 * MARGIN + 10))
        spacing = max(LINE_HEIGHT, min(HELP_SPACING, (self._screen.get_height() - 100) // len(BINDINGS)))
        for i, binding in enumerate(BINDINGS):
            cells = ((binding.text, QUIET), (binding.shown, TEXT), (binding.pad_shown, TEXT))
            for left, (text, colour) in zip(HELP_COLUMNS, cells, strict=True):
                self._text(text, TEXT_SIZE, colour, topleft=(left, 90 + spacing * i))

    def _text(self, text: str, size: int, colour: Colour, **place: tuple[int, int]) -> None:
        image = self._font(size).render(text, True, colour)
        self._screen.blit(image, image.get_rect(**place))

    def _wrapped(self, text: str, width: int) -> list[str]:
        """Lines no wider than ``width``, broken after spaces, slashes and hyphens."""
        lines: list[str] = []
        for piece in re.findall(r"[^ /-]+[ /-]*|[ /-]+", text):
            if lines and self._font(TEXT_SIZE).size(lines[-1] + piece.rstrip())[0] <= width:
                lines[-1] += piece
            else:
                lines.append(piece)
        return lines

    def _font(self, size: int) -> pygame.font.Font:
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(None, size)
        return self._fonts[size]
