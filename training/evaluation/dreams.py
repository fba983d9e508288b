"""Dreams from real frames with given actions. Shapes: B dreams, L context length, S steps, H height, W width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.frames import to_numpy
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.world_model import Preset, World
from training.evaluation.metrics import Frames


@dataclass(frozen=True)
class Dreaming:
    """Settings of dreams."""

    preset: Preset
    """Sampler."""
    seed: int = 0
    """Seed of the noise."""
    num_envs: int = 16
    """Number of parallel dreams."""
    device: str = "auto"
    """See ``Runtime.choose``."""
    dtype: str = "auto"
    """See ``Runtime.choose``."""

    def with_steps(self, steps: int) -> Dreaming:
        """The same settings with another number of denoising steps."""
        return replace(self, preset=self.preset.with_steps(steps))


@dataclass(frozen=True)
class DreamStep:
    """One step of B dreams."""

    frames: Frames
    """``(B, H, W, 3)``."""
    rewards: NDArray[np.float32]
    """-1, 0 or 1 ``(B,)``; 0 without a reward/end model."""
    ends: NDArray[np.bool_]
    """The reward/end model predicts an end ``(B,)``; the dream continues."""


def dream_steps(world: World, how: Dreaming, frames: Frames, actions: NDArray[np.int64]) -> Iterator[DreamStep]:
    """Dreams from real contexts with given actions, one step at a time, through ends.

    frames uint8 ``(B, L, H, W, 3)``, oldest first; actions ``(B, L-1+S)``: those between the frames, then those to
    play. Yields S times.
    """
    between, played = np.split(actions, [frames.shape[1] - 1], axis=1)
    env = WorldModelEnv(world, len(frames), how.device, how.preset, how.seed, dtype=how.dtype, autoreset=False)
    env.reset(options={"frames": frames, "actions": between})
    for step in torch.from_numpy(played).to(env.runtime.device).unbind(1):
        obs, rewards, ends, *_ = env.step(step)
        yield DreamStep(to_numpy(obs), rewards.float().cpu().numpy(), ends.cpu().numpy())


def dream_on(world: World, how: Dreaming, frames: Frames, actions: NDArray[np.int64]) -> Iterator[Frames]:
    """The frames of ``dream_steps``, uint8 ``(B, H, W, 3)``, without rewards and ends."""
    for step in dream_steps(world.unjudged(), how, frames, actions):
        yield step.frames


def dream(world: World, how: Dreaming, frames: Frames, actions: NDArray[np.int64]) -> Frames:
    """All frames of ``dream_on`` at once, uint8 ``(B, S, H, W, 3)``."""
    return np.stack(list(dream_on(world, how, frames, actions)), axis=1)


def steps_label(steps: int) -> str:
    """Such as ``3 steps``."""
    return "1 step" if steps == 1 else f"{steps} steps"
