"""The measures on arrays whose result is known."""

import numpy as np
import pytest

from training.evaluation.metrics import (
    Detection,
    Frames,
    PixelMoments,
    psnr,
    sharpness,
    wrong_pixel_ratio,
    wrong_pixels,
)


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


def moments(*frames: Frames) -> PixelMoments:
    result = PixelMoments()
    for some in frames:
        result.add(some)
    return result


def test_moments_are_those_of_all_frames_added() -> None:
    frames = np.random.default_rng(1).integers(256, size=(12, 4, 4, 3)).astype(np.uint8)
    found = moments(frames[:5], frames[5:])
    assert found.count == 12
    np.testing.assert_allclose(found.mean, frames.mean(axis=0))
    np.testing.assert_allclose(found.std, frames.std(axis=0))


def test_distance_of_known_moments() -> None:
    still, brighter = moments(grey(100, 4)), moments(grey(103, 4))
    flickering = moments(grey(96, 2), grey(104, 2))
    assert still.distance(still) == 0
    assert still.distance(brighter) == pytest.approx(3)
    assert still.distance(flickering) == pytest.approx(4)
    assert brighter.distance(flickering) == flickering.distance(brighter) == pytest.approx(5)


def test_sharpness_counts_the_edges_of_the_chosen_pixels() -> None:
    frames = grey(0)
    frames[0, :, 2:] = 10
    everywhere = np.ones((1, 4, 4), dtype=bool)
    assert sharpness(frames, everywhere) == 4 * 3 * 10
    first_row = np.zeros_like(everywhere)
    first_row[0, 0] = True
    assert sharpness(frames, first_row) == 3 * 10
    assert sharpness(grey(9), everywhere) == 0
