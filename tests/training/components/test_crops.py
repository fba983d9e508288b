"""Crops hold what moves, and nothing is learned where what comes in from outside cannot be known."""

import torch

from diamond_engine.diffusion import Segment
from training.components.crops import MARGIN, crop_to_motion

SIZE, GRID, NEWEST = 32, 8, 3


def moving_dots(count: int) -> tuple[Segment, torch.Tensor]:
    """Segments over a floor of which every pixel is another, with a dot that goes on at the newest frame; its pixel."""
    generator = torch.Generator().manual_seed(0)
    floor = torch.arange(64 * 64).reshape(64, 64) / (64 * 64) - 1
    obs = floor.expand(count, 5, 3, 64, 64).clone()
    dot = torch.randint(64, (count, 2), generator=generator)
    for i, (y, x) in enumerate(dot.tolist()):
        obs[i, NEWEST, :, y, x] = 1.0
    return Segment(obs, None, torch.ones(count, 5, dtype=torch.bool)), dot


def test_crops_are_parts_of_the_frames_that_hold_the_motion() -> None:
    segment, dots = moving_dots(200)
    cropped = crop_to_motion(segment, SIZE, GRID, NEWEST, torch.Generator().manual_seed(1))
    assert cropped.obs.shape == (200, 5, 3, SIZE, SIZE)
    assert cropped.counts is not None
    for i, (y, x) in enumerate(dots.tolist()):
        first = (cropped.obs[i, 0, 0, 0, 0] + 1) * 64 * 64
        top, left = divmod(round(float(first)), 64)
        assert top % GRID == left % GRID == 0
        assert torch.equal(cropped.obs[i], segment.obs[i, :, :, top : top + SIZE, left : left + SIZE])
        assert (cropped.obs[i, NEWEST] == 1.0).any()
        counted = torch.zeros(64, 64)
        counted[top : top + SIZE, left : left + SIZE] = cropped.counts[i, 0]
        assert counted[y, x] in (0, 1)
        assert bool(counted[top, left]) == (top == 0 and left == 0)
        inner = counted[top + MARGIN : top + SIZE - MARGIN, left + MARGIN : left + SIZE - MARGIN]
        assert inner.all()
    assert cropped.counts[:, 0].flatten(1).sum(1).min() >= (SIZE - 2 * MARGIN) ** 2


def test_crops_differ_and_repeat_with_their_generator() -> None:
    segment, _ = moving_dots(50)
    one, other, again = (
        crop_to_motion(segment, SIZE, GRID, NEWEST, torch.Generator().manual_seed(seed)).obs for seed in (1, 2, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
