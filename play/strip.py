"""The strip under a first-person view: the keys, clicks and mouse motion of the last action."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pygame

from diamond_engine.actions import csgo
from diamond_engine.actions.key_map import LEFT_CLICK, RIGHT_CLICK
from play.actions import Gesture
from play.bindings import Keycap
from play.canvas import ACCENT, BACKGROUND, PANEL, QUIET, RULE, SMALL_SIZE, TEXT, Canvas
from play.latch import Motion

HEIGHT = 176
KEY, GAP = 40, 4
FIELD = (176, 110)
CLICK_HEIGHT = 38
CORNER = 6
SPACING = 40
FURTHEST = (csgo.MOUSE_X_BINS[-1], csgo.MOUSE_Y_BINS[-1])


def draw(canvas: Canvas, area: pygame.Rect, keycaps: Iterable[Keycap], gesture: Gesture, sensitivity: float) -> None:
    """Draws keyboard and mouse side by side in the middle of ``area``, of ``HEIGHT``."""
    keycaps = tuple(keycaps)
    keyboard_width = round(max(cap.left + cap.width for cap in keycaps) * KEY)
    left = area.centerx - (keyboard_width + SPACING + FIELD[0] + SPACING + FIELD[0]) // 2
    for cap in keycaps:
        box = pygame.Rect(left + round(cap.left * KEY), area.top + round(cap.top * KEY), round(cap.width * KEY), KEY)
        _key(canvas, box.inflate(-GAP, -GAP), cap.label, cap.button in gesture.pressed)
    mouse = pygame.Rect(
        (left + keyboard_width + SPACING, area.top + GAP // 2), (FIELD[0], CLICK_HEIGHT + FIELD[1] + GAP)
    )
    _mouse(canvas, mouse, gesture)
    _words(canvas, (mouse.right + SPACING // 2, mouse.top), gesture.motion, sensitivity)


def _key(canvas: Canvas, box: pygame.Rect, label: str, down: bool) -> None:
    pygame.draw.rect(canvas.surface, ACCENT if down else PANEL, box, border_radius=CORNER)
    pygame.draw.rect(canvas.surface, ACCENT if down else RULE, box, 1, border_radius=CORNER)
    canvas.text(label, SMALL_SIZE, BACKGROUND if down else QUIET, center=box.center)


def _mouse(canvas: Canvas, box: pygame.Rect, gesture: Gesture) -> None:
    """The mouse: two buttons, and below them the motion as an arrow from the middle."""
    half = (box.width - GAP) // 2
    _key(canvas, pygame.Rect(box.left, box.top, half, CLICK_HEIGHT), "left", LEFT_CLICK in gesture.pressed)
    _key(canvas, pygame.Rect(box.right - half, box.top, half, CLICK_HEIGHT), "right", RIGHT_CLICK in gesture.pressed)
    field = pygame.Rect(box.left, box.bottom - FIELD[1], *FIELD)
    pygame.draw.rect(canvas.surface, PANEL, field, border_radius=CORNER)
    pygame.draw.line(canvas.surface, RULE, field.midleft, (field.right - 1, field.centery))
    pygame.draw.line(canvas.surface, RULE, field.midtop, (field.centerx, field.bottom - 1))
    pygame.draw.rect(canvas.surface, RULE, field, 1, border_radius=CORNER)
    reach = (field.width / 2 - 8, field.height / 2 - 8)
    offset = [
        math.copysign(math.sqrt(min(1.0, abs(counts) / most)), counts)
        * room  # square root: small motions are visible too
        for counts, most, room in zip(gesture.motion, FURTHEST, reach, strict=True)
    ]
    tip = (field.centerx + round(offset[0]), field.centery + round(offset[1]))
    pygame.draw.line(canvas.surface, ACCENT, field.center, tip, 3)
    pygame.draw.circle(canvas.surface, ACCENT if any(gesture.motion) else QUIET, tip, 5)


def _words(canvas: Canvas, place: tuple[int, int], motion: Motion, sensitivity: float) -> None:
    lines = (
        ("mouse, right and down", QUIET),
        (f"{motion[0]:+.0f}  {motion[1]:+.0f}" if any(motion) else "still", TEXT),
        ("sensitivity, + and -", QUIET),
        (f"{sensitivity:.2f}", TEXT),
    )
    for i, (text, colour) in enumerate(lines):
        canvas.text(text, SMALL_SIZE, colour, topleft=(place[0], place[1] + 20 * i + 10 * (i // 2)))
