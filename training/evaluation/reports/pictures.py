"""Pictures of frames in rows and columns. Shapes: K columns, S steps, H height, W width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path

Image = NDArray[np.uint8]

STRIP_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 21, 24, 27, 30, 34, 38, 42, 46, 50)
"""Steps of the dream that a strip shows."""
STRIP_COLUMNS = 10
SCALE = 2
"""How many times larger frames are shown, where they are as small as Atari's."""
SMALL = 64
"""Pixels of the height up to which frames are small."""
GAP = 4
LABEL_HEIGHT = 16
LABEL_WIDTH = 64
"""Of the labels of rows, at least."""
LETTER_WIDTH = 8
PAPER, INK = 24, 224
"""Grey levels of the background and of the labels."""


@dataclass(frozen=True)
class Row:
    """Frames side by side."""

    label: str
    """Written to the left of them."""
    frames: Image
    """``(K, H, W, 3)`` RGB, K at most the number of columns."""


def strip_picture(real: Image, dreamed: Image) -> Image:
    """Real frames above dreamed ones ``(S, H, W, 3)``, step 1 first, as one picture; steps beyond S are left out."""
    steps = [step for step in STRIP_STEPS if step <= len(real)]
    bands: list[Image] = []
    for i in range(0, len(steps), STRIP_COLUMNS):
        band = steps[i : i + STRIP_COLUMNS]
        rows = [Row(label, frames[np.asarray(band) - 1]) for label, frames in (("real", real), ("dream", dreamed))]
        blank = [""] * (STRIP_COLUMNS - len(band))
        bands.append(grid_picture([*map(str, band), *blank], rows))
    return np.concatenate(bands)


def grid_picture(columns: Sequence[str], rows: Sequence[Row], title: str = "") -> Image:
    """Rows of enlarged frames, under a title (if any) and the labels of the columns."""
    scale = SCALE if rows[0].frames.shape[1] <= SMALL else 1
    height, width = (scale * size for size in rows[0].frames.shape[1:3])
    head = LABEL_HEIGHT * (2 if title else 1)
    edge = max(LABEL_WIDTH, *(GAP + LETTER_WIDTH * len(row.label) for row in rows))
    shape = (head + len(rows) * (height + GAP), edge + len(columns) * (width + GAP), 3)
    picture = np.full(shape, PAPER, dtype=np.uint8)
    _write(picture, title, GAP, LABEL_HEIGHT - GAP)
    lefts = [edge + column * (width + GAP) for column in range(len(columns))]
    for label, left in zip(columns, lefts, strict=True):
        _write(picture, label, left, head - GAP)
    for number, row in enumerate(rows):
        top = head + number * (height + GAP)
        _write(picture, row.label, GAP, top + height // 2)
        for frame, left in zip(row.frames, lefts, strict=False):
            picture[top : top + height, left : left + width] = frame.repeat(scale, axis=0).repeat(scale, axis=1)
    return picture


def _write(picture: Image, text: str, left: int, baseline: int) -> None:
    cv2.putText(picture, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (INK, INK, INK), 1, cv2.LINE_AA)


def write_png(path: Path, picture: Image) -> None:
    """Writes an RGB picture ``(H, W, 3)`` atomically. Raises ``DiamondError`` where it cannot be encoded."""
    encoded, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise DiamondError(f"cannot encode a picture of shape {picture.shape} as PNG")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
