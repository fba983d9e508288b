"""The timed worlds: the paper's sizes with random weights, or any that ``load_world`` finds.

Shapes: B dreams, L context length, K full-resolution frames, C channels, H height, W width, A entries of an action.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from diamond_engine import load_world
from diamond_engine.actions import csgo
from diamond_engine.checkpoints import without_weights
from diamond_engine.contexts import StartContexts
from diamond_engine.csgo import csgo_world_config
from diamond_engine.diffusion import Denoiser
from diamond_engine.games import atari_game
from diamond_engine.networks import ActorCritic, RewardEndModel
from diamond_engine.worlds import DiffusionWorld, DiffusionWorldConfig, of_diffusion, paper_config

PAPER = {"atari": lambda: paper_config(atari_game("Breakout")), "csgo": csgo_world_config}
"""The paper's architectures by name; Breakout's 4 actions for Atari."""
CONTEXTS = 4


def world_to_time(name: str) -> DiffusionWorld:
    """``atari`` or ``csgo``: the paper's sizes, random weights and start contexts of noise; else ``load_world(name)``.

    The speed of a dense network does not depend on its weights. Raises what ``load_world`` raises.
    """
    if name not in PAPER:
        return of_diffusion(load_world(name), "a benchmark")
    config = PAPER[name]()
    generator = torch.Generator().manual_seed(0)
    with without_weights():
        world = DiffusionWorld(
            config=config,
            denoiser=Denoiser(config.denoiser).eval(),
            upsampler=None if config.upsampler is None else Denoiser(config.upsampler).eval(),
            reward_end=None if config.reward_end is None else RewardEndModel(config.reward_end).eval(),
            actor_critic=None if config.actor_critic is None else ActorCritic(config.actor_critic).eval(),
            contexts=_noise(config),
        )
    for network in networks(world):
        _randomise(network, generator)
    return world


def networks(world: DiffusionWorld) -> list[nn.Module]:
    """All networks of a world."""
    return list(world.networks.values())


def weights_bytes(world: DiffusionWorld, dtype: torch.dtype) -> int:
    """Bytes of all networks in one precision."""
    return sum(p.numel() for network in networks(world) for p in network.parameters()) * dtype.itemsize


def _randomise(network: nn.Module, generator: torch.Generator) -> None:
    """Fills every weight with values of the usual size; none is zero, as some are before training."""
    network.to_empty(device="cpu")
    for tensor in (*network.parameters(), *network.buffers()):
        fan_in = math.prod(tensor.shape[1:]) if tensor.ndim > 1 else 100
        tensor.data.normal_(std=1 / math.sqrt(fan_in), generator=generator)


def _noise(config: DiffusionWorldConfig) -> StartContexts:
    rng = np.random.default_rng(0)
    length = config.context_length
    frames = rng.integers(256, size=(CONTEXTS, length, *config.dynamics_size, 3), dtype=np.uint8)
    actions = np.zeros((CONTEXTS, length - 1, *config.action_shape), dtype=np.int64)
    contexts = StartContexts(frames, actions)
    if config.upsampler is None:
        return contexts
    shape = (config.full_res_length, config.frame_height, config.frame_width, 3)
    return replace(contexts, full_res=rng.integers(256, size=(CONTEXTS, *shape), dtype=np.uint8))


def idle_actions(world: DiffusionWorld, batch: int) -> torch.Tensor:
    """The actions without an agent: none, ``(B,)`` or ``(B, A)``."""
    if world.config.action_shape:
        return torch.from_numpy(np.stack([csgo.encode(csgo.CsgoAction())] * batch))
    return torch.zeros(batch, dtype=torch.int64)
