"""Frames as bytes: they come back as they were, and the codec is chosen for the frame."""

import cv2
import numpy as np
import pytest

from play.web.pictures import LOSSLESS_WEBP, PNG, RAW, WEBP, Codec, quickest

RNG = np.random.default_rng(0)
NOISE = RNG.integers(256, size=(64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("codec", [PNG, LOSSLESS_WEBP])
def test_nothing_is_lost(codec: Codec) -> None:
    image = cv2.imdecode(np.frombuffer(codec.encode(NOISE), dtype=np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert np.array_equal(image[..., ::-1], NOISE)


def test_raw_is_the_pixels() -> None:
    assert RAW.encode(NOISE[:, ::-1]) == NOISE[:, ::-1].tobytes()


def test_small_frames_stay_exact_and_photographs_may_lose() -> None:
    assert quickest(NOISE) in (PNG, LOSSLESS_WEBP)
    smooth = cv2.GaussianBlur(RNG.integers(256, size=(150, 280, 3), dtype=np.uint8), (0, 0), 3)
    assert quickest(smooth + RNG.integers(8, size=smooth.shape, dtype=np.uint8)) is WEBP
