"""Frames in their two forms."""

import numpy as np
import torch

from diamond_engine.frames import from_numpy, to_float, to_numpy, to_uint8

CPU = torch.device("cpu")


class TestFrames:
    def test_every_level_survives(self) -> None:
        levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(2, 8, 16, 3)
        images = from_numpy(levels, CPU)
        assert images.shape == (2, 3, 8, 16)
        assert (images.min(), images.max()) == (-1, 1)
        np.testing.assert_array_equal(to_numpy(images), levels)

    def test_channels_keep_their_place(self) -> None:
        red = torch.zeros(4, 6, 3, dtype=torch.uint8)
        red[..., 0] = 255
        images = to_float(red)
        assert images.shape == (3, 4, 6)
        assert images[:, 0, 0].tolist() == [1, -1, -1]

    def test_rounds_and_clips(self) -> None:
        images = torch.tensor([-2.0, -1 + 1.1 / 255, 2.0])[:, None, None]
        assert to_uint8(images).flatten().tolist() == [0, 1, 255]
