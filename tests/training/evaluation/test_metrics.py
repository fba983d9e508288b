"""The measures on arrays whose result is known."""

import numpy as np
import pytest

from diamond_engine.actions import ATARI_GAMES
from training.evaluation.benchmark import REFERENCE_SCORES, human_normalised
from training.evaluation.metrics import Detection, Frames, psnr, wrong_pixel_ratio, wrong_pixels


def grey(level: int, count: int = 1) -> Frames:
    return np.full((count, 4, 4, 3), level, dtype=np.uint8)


def test_a_pixel_is_wrong_beyond_sixteen_levels_in_any_channel() -> None:
    real, frame = grey(100), grey(100)
    frame[0, 0, 0, 0] = 116
    frame[0, 0, 1, 2] = 117
    frame[0, 0, 2] = 83
    assert wrong_pixels(frame, real) == 2


def test_levels_do_not_wrap_around() -> None:
    assert wrong_pixels(grey(0), grey(255)) == 16


def test_ratio_of_a_perfect_dream_and_of_a_still_picture() -> None:
    repeated, real = grey(0, 3), grey(200, 3)
    assert wrong_pixel_ratio(real, real, repeated) == 0
    assert wrong_pixel_ratio(repeated, real, repeated) == 1


def test_ratio_is_of_sums_not_a_mean_of_ratios() -> None:
    real, repeated = grey(0, 2), grey(0, 2)
    repeated[0] = 200
    repeated[1, 0, 0] = 200
    dreamed = real.copy()
    dreamed[1, 0, 0] = 200
    assert wrong_pixel_ratio(dreamed, real, repeated) == pytest.approx(1 / 17)


def test_ratio_is_undefined_where_nothing_moved() -> None:
    assert wrong_pixel_ratio(grey(200), grey(0), grey(0)) is None


def test_psnr_of_known_errors() -> None:
    real = grey(100, 3)
    frames = np.concatenate([grey(110), grey(101), grey(100)])
    one_value_off = 10 * np.log10(255**2 * 48)
    np.testing.assert_allclose(psnr(frames, real), [28.1308, 48.1308, one_value_off], atol=1e-4)


def test_detection_counts_events_by_kind() -> None:
    predicted, real = np.array([1, 0, 1, -1, 0]), np.array([1, 1, 0, 1, 0])
    found = Detection.count(predicted, real)
    assert found == Detection(hits=1, predicted=3, events=3)
    assert (found.precision, found.recall, found.f1) == (1 / 3, 1 / 3, 1 / 3)


def test_detection_is_undefined_without_events() -> None:
    nothing = np.zeros(4, dtype=np.int64)
    found = Detection.count(nothing, nothing)
    assert (found.precision, found.recall, found.f1) == (None, None, None)


def test_all_games_of_the_benchmark_have_reference_scores() -> None:
    assert REFERENCE_SCORES.keys() == ATARI_GAMES.keys()


def test_human_normalised_scores() -> None:
    breakout = ATARI_GAMES["Breakout"]
    assert human_normalised(breakout, 1.7) == 0
    assert human_normalised(breakout, 30.5) == 1
    assert human_normalised(breakout, 132.5) == pytest.approx(4.542, abs=1e-3)
