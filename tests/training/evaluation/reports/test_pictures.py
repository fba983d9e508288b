"""Pictures of frames."""

from pathlib import Path

import cv2
import numpy as np

from training.evaluation.reports.pictures import (
    GAP,
    LABEL_HEIGHT,
    LABEL_WIDTH,
    Row,
    grid_picture,
    strip_picture,
    write_png,
)


def test_real_frames_stand_above_dreamed_ones(tmp_path: Path) -> None:
    real = np.full((50, 8, 8, 3), (255, 0, 0), dtype=np.uint8)
    dreamed = np.full((50, 8, 8, 3), (0, 255, 0), dtype=np.uint8)
    path = tmp_path / "strip.png"
    write_png(path, strip_picture(real, dreamed))
    picture = cv2.imread(str(path))
    assert picture is not None
    read_back = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    red, green = ((read_back == colour).all(axis=-1) for colour in ((255, 0, 0), (0, 255, 0)))
    assert red.sum() == green.sum() == 20 * 16 * 16
    assert red[LABEL_HEIGHT : LABEL_HEIGHT + 16, LABEL_WIDTH : LABEL_WIDTH + 16].all()
    assert np.flatnonzero(red.any(axis=1))[0] < np.flatnonzero(green.any(axis=1))[0]


def test_a_short_episode_fills_the_first_columns_only() -> None:
    frames = np.full((2, 8, 8, 3), 255, dtype=np.uint8)
    picture = strip_picture(frames, frames)
    assert (picture == 255).all(axis=-1).sum() == 2 * 2 * 16 * 16


def test_a_grid_has_a_row_for_each_and_a_column_for_every_label() -> None:
    white = np.full((3, 8, 8, 3), 255, dtype=np.uint8)
    picture = grid_picture(["1", "2", "3"], [Row("a", white), Row("b", white[:1])], title="title")
    tops = [2 * LABEL_HEIGHT, 2 * LABEL_HEIGHT + 16 + GAP]
    lefts = [LABEL_WIDTH + column * (16 + GAP) for column in range(3)]
    is_white = [[(picture[top : top + 16, left : left + 16] == 255).all() for left in lefts] for top in tops]
    assert is_white == [[True, True, True], [True, False, False]]
