"""Checks that networks of the configured sizes can be built and run, on the meta device, before anything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from diamond_engine.checkpoints import without_weights
from diamond_engine.errors import UsageError
from diamond_engine.networks import ActorCritic, ActorCriticConfig, RewardEndModel, RewardEndModelConfig
from diamond_engine.networks.denoiser import InnerModel, InnerModelConfig

SIDE = 16
"""Frame size of the trial; a U-Net takes any."""


def check_inner_model(name: str, inner: InnerModelConfig) -> None:
    """Raises ``UsageError`` for sizes that do not fit together, such as channels that are no multiple of a group."""
    if inner.num_actions is not None and inner.cond_channels % inner.num_steps_conditioning:
        raise UsageError(f"networks.{name}: cond_channels must be a multiple of num_steps_conditioning")
    with _tried(name):
        network, images = InnerModel(inner), inner.num_steps_conditioning + inner.low_res_cond
        frame, level = torch.empty(1, inner.img_channels, SIDE, SIDE), torch.empty(1)
        context = torch.empty(1, images * inner.img_channels, SIDE, SIDE)
        act = None
        if inner.num_actions is not None:
            act = torch.empty(1, inner.num_steps_conditioning, inner.num_actions)
        network(frame, level, level, context, act)


def check_reward_end(name: str, cfg: RewardEndModelConfig) -> None:
    """See ``check_inner_model``."""
    with _tried(name):
        obs = torch.empty(1, 2, cfg.img_channels, cfg.img_size, cfg.img_size)
        RewardEndModel(cfg)(obs, torch.empty(1, 2, dtype=torch.int64), obs)


def check_actor_critic(name: str, cfg: ActorCriticConfig) -> None:
    """See ``check_inner_model``."""
    with _tried(name):
        network = ActorCritic(cfg)
        network(torch.empty(1, cfg.img_channels, cfg.img_size, cfg.img_size), network.initial_state(1))


@contextmanager
def _tried(name: str) -> Iterator[None]:
    try:
        with without_weights():
            yield
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"networks.{name} cannot be built ({reason}): channels that are multiples of 32 always fit"
        ) from error
