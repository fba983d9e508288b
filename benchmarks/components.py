"""The trainers of Algorithm 1 on episodes of noise, on either side of a comparison."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from benchmarks.sides import PlainDreams, PlainRuntime
from diamond_engine.episodes import Episode, EpisodeFolder, episode_name, write_episode
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.runtime import Runtime
from diamond_engine.worlds import DiffusionWorld
from training.components.actor_critic import ActorCriticTrainer, ActorCriticTrainingConfig
from training.components.denoiser import DenoiserTrainer, DenoiserTrainingConfig
from training.components.reward_end import RewardEndTrainer, RewardEndTrainingConfig

COMPONENTS = ("denoiser", "reward_end", "actor_critic")
PLAIN, FAST = SIDES = ("plain", "fast")
EPISODES, STEPS = 4, 60


class Trainer(Protocol):
    """A function that makes one update."""

    def update(self) -> dict[str, torch.Tensor]:
        """One gradient step."""
        ...


def write_noise(folder: Path, world: DiffusionWorld) -> EpisodeFolder:
    """A few episodes of noise, as large as the world's frames."""
    rng = np.random.default_rng(0)
    image = (world.config.frame_height, world.config.frame_width, 3)
    for number in range(EPISODES):
        never = np.zeros(STEPS, dtype=np.bool_)
        episode = Episode(
            frames=rng.integers(256, size=(STEPS, *image), dtype=np.uint8),
            actions=rng.integers(len(world.game.actions), size=STEPS, dtype=np.int64),
            rewards=rng.integers(-1, 2, size=STEPS).astype(np.float32),
            terminated=never,
            truncated=never,
            final_frame=rng.integers(256, size=image, dtype=np.uint8),
        )
        write_episode(folder / episode_name(number), episode)
    return EpisodeFolder(folder)


def make_trainer(
    component: str, side: str, world: DiffusionWorld, batch: int, folder: EpisodeFolder, runtime: Runtime
) -> Trainer:
    """A trainer with the paper's settings except the batch; the plain one in float32 and NCHW, not compiled."""
    if side == PLAIN:
        runtime = PlainRuntime(runtime.device, torch.float32)
    denoiser, reward_end, actor_critic = _copies(world)
    if component == "denoiser":
        return DenoiserTrainer(denoiser, folder, DenoiserTrainingConfig(batch), runtime, 0, _no_export)
    if component == "reward_end":
        return RewardEndTrainer(reward_end, folder, RewardEndTrainingConfig(batch), runtime, 0, _no_export)
    env: Any
    if side == PLAIN:
        env = PlainDreams(world, batch, world.config.preset(None), runtime.device)
    else:
        env = WorldModelEnv(world, batch, str(runtime.device), dtype=runtime.dtype_name, autoreset=False)
    return ActorCriticTrainer(actor_critic, env, ActorCriticTrainingConfig(), runtime, 0, _no_export)


def _copies(world: DiffusionWorld) -> tuple[Any, ...]:
    """Copies of the networks to train, since the world's own must not change."""
    learning: tuple[Any, ...] = (world.denoiser, world.reward_end, world.actor_critic)
    return tuple(deepcopy(network).train() for network in learning)


def _no_export(folder: Path, network: nn.Module, provenance: dict[str, Any]) -> None:
    """Keeps nothing."""
