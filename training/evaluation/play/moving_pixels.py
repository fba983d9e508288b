"""Measures whether a dream draws motion: pixels near those that change from one real frame to the next.

Shapes: B dreams, L context length, S steps, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diamond_engine.episodes import EpisodeFolder, cut
from diamond_engine.errors import DiamondError
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming, dream
from training.evaluation.fidelity.denoising_steps import moving
from training.evaluation.fidelity.episodes import Start
from training.evaluation.metrics import Frames, wrong_pixels
from training.runs.progress import Show

MEASURED_STEPS = (1, 5, 15)
"""Steps of a dream at which it is compared."""
HORIZON = max(MEASURED_STEPS)
MARGIN = 4
"""Margin in pixels around motion that is compared too."""


@dataclass(frozen=True)
class MovingPixels:
    """Agreement at one step."""

    step: int
    """Actions since the context."""
    n: int
    """Dreams in which something really moves at this step."""
    dreamed: float | None
    """Share of the pixels, over all dreams, within 16 levels of the real ones; None where nothing moves."""
    repeated: float | None
    """The same of the newest context frame."""


def draw_moving_starts(folder: EpisodeFolder, context: int, count: int, seed: int) -> list[Start]:
    """Up to so many different places with a full context and ``HORIZON`` frames after it, uniformly.

    Raises ``DiamondError`` where no episode is long enough.
    """
    places = [
        Start(i, newest, HORIZON)
        for i, length in enumerate(folder.lengths.tolist())
        for newest in range(context - 1, length + 1 - HORIZON)
    ]
    if not places:
        raise DiamondError(f"no real episode is as long as a context of {context} frames and {HORIZON} steps")
    return [places[i] for i in np.random.default_rng(seed).permutation(len(places))[:count]]


def measure_moving_pixels(
    world: World, folder: EpisodeFolder, starts: Sequence[Start], how: Dreaming, show: Show = lambda done: None
) -> list[MovingPixels]:
    """Dreams from every start with the real actions; ``show`` takes the frames dreamed so far."""
    context = world.context_length
    pieces: list[tuple[Frames, Frames]] = []
    for first in range(0, len(starts), how.num_envs):
        batch = starts[first : first + how.num_envs]
        rows = [cut(folder[start.episode], start.newest + 1 - context, context + HORIZON) for start in batch]
        frames = np.asarray([row["frames"] for row in rows], dtype=np.uint8)
        actions = np.asarray([row["actions"] for row in rows], dtype=np.int64)[:, :-1]
        dreamed = dream(world, replace(how, seed=how.seed + first), frames[:, :context], actions)
        pieces.append((frames[:, context - 1 :], dreamed))
        show((first + len(batch)) * HORIZON)
    real, dreamed = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return [agreement(real, dreamed, step) for step in MEASURED_STEPS]


def agreement(real: Frames, dreamed: Frames, step: int) -> MovingPixels:
    """Of real frames from the newest of the context on ``(B, 1+S, H, W, 3)`` and dreamed ones ``(B, S, H, W, 3)``."""
    where = moving(real[:, step - 1], real[:, step], MARGIN)
    count = int(where.sum())
    if not count:
        return MovingPixels(step, 0, None, None)
    wanted = real[:, step][where][:, None, None]
    shares = [
        1 - wrong_pixels(drawn[where][:, None, None], wanted) / count for drawn in (dreamed[:, step - 1], real[:, 0])
    ]
    return MovingPixels(step, int(where.any(axis=(1, 2)).sum()), *shares)
