"""Positions read from pixels by scripted policies: where a ball is and where it will be.

Shapes: H height, W width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def centre_above(
    image: NDArray[np.uint8], level: float, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[float, float] | None:
    """Row and column of the weighted centre of pixels above ``level`` in a part of one channel ``(H, W)``.

    ``rows`` and ``columns`` are the first and one past the last. None if there are no such pixels.
    """
    part = image[slice(*rows), slice(*columns)].astype(np.float64)
    weight = np.where(part > level, part, 0.0)
    total = weight.sum()
    if total == 0:
        return None
    row_index, column_index = np.indices(part.shape)
    return rows[0] + float((weight * row_index).sum() / total), columns[0] + float(
        (weight * column_index).sum() / total
    )


def reflected(position: float, low: float, high: float) -> float:
    """Folds ``position`` into the interval between the walls ``low`` and ``high``, from which it bounces."""
    width = high - low
    travelled = (position - low) % (2 * width)
    return low + min(travelled, 2 * width - travelled)
