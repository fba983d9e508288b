"""Encodes frames for a page: raw on the same machine, else by the fastest of a few codecs.

Shapes: H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from diamond_engine.errors import DiamondError
from play.view import Frame

BYTES_A_SECOND = 1.25e6
"""Assumed bandwidth of a link: 10 Mbit/s."""
PHOTOGRAPHIC = 128 * 128
"""Frames with more pixels than this may be compressed lossily."""


@dataclass(frozen=True)
class Codec:
    """One way to encode a frame."""

    name: str
    """Its media type without ``image/``, or ``raw``."""
    encode: Callable[[Frame], bytes]
    """uint8 ``(H, W, 3)`` RGB → bytes."""


def _by_opencv(suffix: str, *options: int) -> Callable[[Frame], bytes]:
    def encode(frame: Frame) -> bytes:
        done, buffer = cv2.imencode(suffix, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
        if not done:
            raise DiamondError(f"OpenCV writes no {suffix} images here: pip install --upgrade opencv-python-headless")
        return buffer.tobytes()

    return encode


RAW = Codec("raw", lambda frame: np.ascontiguousarray(frame).tobytes())
PNG = Codec("png", _by_opencv(".png", cv2.IMWRITE_PNG_COMPRESSION, 3))
LOSSLESS_WEBP = Codec("webp", _by_opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 101))
WEBP = Codec("webp", _by_opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 90))


def quickest(frame: Frame) -> Codec:
    """The codec with the smallest delay for a frame like this one: measured encoding time plus transfer time."""
    codecs = [PNG, LOSSLESS_WEBP]
    if frame.shape[0] * frame.shape[1] > PHOTOGRAPHIC:
        codecs.append(WEBP)
    return min(codecs, key=lambda codec: _seconds(codec, frame))


def _seconds(codec: Codec, frame: Frame) -> float:
    codec.encode(frame)  # the first call includes initialisation
    began = time.perf_counter()
    size = len(codec.encode(frame))
    return time.perf_counter() - began + size / BYTES_A_SECOND
