"""Drawing: the colours of the window, and text in a few sizes."""

from __future__ import annotations

import re

import pygame

Colour = tuple[int, int, int]
BACKGROUND = (17, 18, 23)
PANEL = (25, 27, 34)
RULE = (48, 51, 62)
TEXT = (232, 233, 238)
QUIET = (139, 143, 158)
ACCENT = (255, 176, 84)
RED = (242, 92, 84)
TITLE_SIZE, VALUE_SIZE, TEXT_SIZE, SMALL_SIZE = 36, 27, 21, 19


class Canvas:
    """A surface to draw text and pixels on."""

    def __init__(self, surface: pygame.Surface) -> None:
        pygame.font.init()
        self.surface = surface
        self._fonts: dict[int, pygame.font.Font] = {}

    def text(self, text: str, size: int, colour: Colour, **place: tuple[int, int]) -> None:
        """Writes one line. ``place`` gives the position of one of its points, such as ``topleft=(0, 0)``."""
        image = self.font(size).render(text, True, colour)
        self.surface.blit(image, image.get_rect(**place))

    def picture(self, frame_bytes: bytes, size: tuple[int, int], target: pygame.Rect) -> None:
        """Shows RGB pixels of a width and height in ``target``, nearest neighbour."""
        image = pygame.image.frombuffer(frame_bytes, size, "RGB")
        self.surface.blit(pygame.transform.scale(image, target.size), target)

    def wrapped(self, text: str, size: int, width: int) -> list[str]:
        """Lines no wider than ``width``, broken after spaces, slashes and hyphens."""
        lines: list[str] = []
        for piece in re.findall(r"[^ /-]+[ /-]*|[ /-]+", text):
            if lines and self.font(size).size(lines[-1] + piece.rstrip())[0] <= width:
                lines[-1] += piece
            else:
                lines.append(piece)
        return lines

    def font(self, size: int) -> pygame.font.Font:
        """The one typeface in a size, in pixels."""
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(None, size)
        return self._fonts[size]
