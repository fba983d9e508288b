"""Strip pictures: a real episode above the dream of it. Shapes: S steps, H height, W width."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path

Image = NDArray[np.uint8]

STRIP_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 21, 24, 27, 30, 34, 38, 42, 46, 50)
"""Steps of the dream that are shown."""
COLUMNS = 10
SCALE = 2
GAP = 4
LABEL_HEIGHT = 16
LABEL_WIDTH = 48
PAPER, INK = 24, 224
"""Grey levels of the background and of the labels."""


def strip_picture(real: Image, dreamed: Image) -> Image:
    """Real frames above dreamed ones ``(S, H, W, 3)``, step 1 first, as one picture; steps beyond S are left out."""
    steps = [step for step in STRIP_STEPS if step <= len(real)]
    bands = [steps[i : i + COLUMNS] for i in range(0, len(steps), COLUMNS)]
    return np.concatenate([_band(band, real, dreamed) for band in bands])


def _band(steps: list[int], real: Image, dreamed: Image) -> Image:
    """One row of labels, one of real frames, one of dreamed frames."""
    height, width = (SCALE * size for size in real.shape[1:3])
    shape = (LABEL_HEIGHT + 2 * (height + GAP), LABEL_WIDTH + COLUMNS * (width + GAP), 3)
    picture = np.full(shape, PAPER, dtype=np.uint8)
    for row, (name, frames) in enumerate((("real", real), ("dream", dreamed))):
        top = LABEL_HEIGHT + row * (height + GAP)
        _write(picture, name, GAP, top + height // 2)
        for column, step in enumerate(steps):
            left = LABEL_WIDTH + column * (width + GAP)
            picture[top : top + height, left : left + width] = _enlarged(frames[step - 1])
            _write(picture, str(step), left, LABEL_HEIGHT - GAP)
    return picture


def _enlarged(frame: Image) -> Image:
    return frame.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def _write(picture: Image, text: str, left: int, baseline: int) -> None:
    cv2.putText(picture, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (INK, INK, INK), 1, cv2.LINE_AA)


def write_png(path: Path, picture: Image) -> None:
    """Writes an RGB picture ``(H, W, 3)`` atomically. Raises ``DiamondError`` where it cannot be encoded."""
    encoded, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise DiamondError(f"cannot encode a picture of shape {picture.shape} as PNG")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
