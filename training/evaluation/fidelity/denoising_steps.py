"""Numbers of denoising steps compared: one step blurs between the possible futures (Figure 4 of the paper).

From real contexts, with the real action, the next frame is drawn several times with every number of denoising steps,
always from the same noise. From noise, a denoiser returns the mean of all possible frames: with one step, every draw is
near that mean. Further steps drive each draw to one of the possibilities. So one step is less sharp and its draws
agree. Its error may still be smaller, since the mean is nearest to all possibilities.

Shapes: N contexts, D draws, L context length, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from diamond_engine.episodes import EpisodeFolder, cut
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming, dream
from training.evaluation.fidelity.episodes import Start
from training.evaluation.metrics import WRONG_LEVELS, Frames, psnr, sharpness
from training.runs.progress import Show

MARGIN = 2
"""Margin in pixels around motion that is measured too."""


@dataclass(frozen=True)
class Draws:
    """Next frames drawn with one number of denoising steps."""

    denoising_steps: int
    """Number of denoising steps."""
    frames: Frames
    """``(N, D, H, W, 3)``."""
    sharpness: float | None
    """``metrics.sharpness`` over that of the real frames, at moving pixels: 1 as sharp, below 1 blurred, above 1 noisy.
    None without motion."""
    spread: float | None
    """Root mean square deviation of draws from their mean, at moving pixels, levels of 256: 0 if all noise leads to one
    frame. None without motion."""
    psnr: float
    """Mean over the draws, dB; see ``metrics.psnr``."""


@dataclass(frozen=True)
class Comparison:
    """Result of ``compare_denoising_steps``."""

    newest: Frames
    """Last context frames ``(N, H, W, 3)``."""
    real: Frames
    """The frames that really followed ``(N, H, W, 3)``."""
    draws: list[Draws]
    """One entry for every number of denoising steps."""


def compare_denoising_steps(
    world: World,
    folder: EpisodeFolder,
    starts: Sequence[Start],
    how: Dreaming,
    denoising_steps: Sequence[int],
    draws: int,
    show: Show = lambda done: None,
) -> Comparison:
    """Draws the frame after every start; ``show`` takes the frames drawn so far."""
    context = world.context_length
    rows = [cut(folder[start.episode], start.newest + 1 - context, context + 1) for start in starts]
    frames = np.asarray([row["frames"] for row in rows], dtype=np.uint8)
    actions = np.asarray([row["actions"] for row in rows], dtype=np.int64)[:, :context]
    newest, real = frames[:, context - 1], frames[:, context]
    where = moving(newest, real)
    results: list[Draws] = []
    for number, steps in enumerate(denoising_steps):
        before = number * len(starts) * draws

        def show_all(done: int, before: int = before) -> None:
            show(before + done)

        drawn = _draw(world, how.with_steps(steps), frames[:, :context], actions, draws, show_all)
        results.append(_measured(steps, drawn, real, where))
    return Comparison(newest, real, results)


def moving(newest: Frames, real: Frames, margin: int = MARGIN) -> NDArray[np.bool_]:
    """Mask ``(N, H, W)`` of pixels that really change by more than 16 levels, and those around them."""
    changed = (np.abs(real.astype(np.int16) - newest.astype(np.int16)) > WRONG_LEVELS).any(axis=-1)
    around = F.max_pool2d(torch.from_numpy(changed).float(), 2 * margin + 1, stride=1, padding=margin)
    return around.bool().numpy()


def _draw(world: World, how: Dreaming, frames: Frames, actions: NDArray[np.int64], draws: int, show: Show) -> Frames:
    """Next frames ``(N, D, H, W, 3)``, ``num_envs`` at once, from the same noise for every number of steps."""
    frames, actions = frames.repeat(draws, axis=0), actions.repeat(draws, axis=0)
    drawn: list[Frames] = []
    for first in range(0, len(frames), how.num_envs):
        batch = slice(first, first + how.num_envs)
        drawn.append(dream(world, replace(how, seed=how.seed + first), frames[batch], actions[batch])[:, 0])
        show(first + len(drawn[-1]))
    return np.concatenate(drawn).reshape(-1, draws, *frames.shape[2:])


def _measured(steps: int, frames: Frames, real: Frames, where: NDArray[np.bool_]) -> Draws:
    drawn = frames.swapaxes(0, 1)
    real_sharpness = sharpness(real, where)
    own_sharpness = float(np.mean([sharpness(draw, where) for draw in drawn]))
    return Draws(
        denoising_steps=steps,
        frames=frames,
        sharpness=own_sharpness / real_sharpness if real_sharpness else None,
        spread=float(np.sqrt(frames.var(axis=1)[where].mean())) if where.any() else None,
        psnr=float(np.mean([psnr(draw, real) for draw in drawn])),
    )
