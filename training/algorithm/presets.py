"""Presets of Algorithm 1, with their expected quality and cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from diamond_engine.games import Game
from diamond_engine.worlds import paper_config
from training.algorithm.config import AlgorithmConfig, NetworksConfig, TestConfig, Updates, UpdatesConfig
from training.algorithm.dreams import ImaginationConfig
from training.algorithm.experience import CollectionConfig
from training.components.actor_critic import ActorCriticTrainingConfig
from training.components.denoiser import DenoiserTrainingConfig
from training.components.optimisation import OptimiserConfig
from training.components.reward_end import RewardEndTrainingConfig


@dataclass(frozen=True)
class Preset:
    """One preset of Algorithm 1."""

    configure: Callable[[Game], AlgorithmConfig]
    """Its configuration for a game."""
    expectation: str
    """Expected quality and cost."""


def paper(game: Game) -> AlgorithmConfig:
    """The paper's (Tables 2 to 4)."""
    world = paper_config(game)
    assert world.reward_end is not None
    assert world.actor_critic is not None
    return AlgorithmConfig(networks=NetworksConfig(world.denoiser, world.reward_end, world.actor_critic))


def quick(game: Game) -> AlgorithmConfig:
    """All stages of the paper, each small enough for a few minutes on two CPU cores."""
    networks = paper(game).networks
    inner = replace(
        networks.denoiser.inner_model,
        cond_channels=64,
        depths=(1, 1, 1, 1),
        channels=(16, 32, 32, 64),
    )
    optimiser = OptimiserConfig(learning_rate=1e-3, warmup_steps=20)
    return AlgorithmConfig(
        networks=NetworksConfig(
            denoiser=replace(networks.denoiser, inner_model=inner),
            reward_end=replace(
                networks.reward_end, lstm_dim=64, cond_channels=16, channels=(8, 16, 32, 32), pooled=True
            ),
            actor_critic=replace(networks.actor_critic, channels=(8, 16, 32, 32), lstm_dim=128),
        ),
        collection=CollectionConfig(steps=1200, first_min=1000, first_max=1000, per_epoch=100),
        updates=UpdatesConfig(
            denoiser=Updates(first=500, per_epoch=50),
            reward_end=Updates(first=150, per_epoch=20),
            actor_critic=Updates(first=40, per_epoch=15),
        ),
        denoiser=DenoiserTrainingConfig(batch_size=16, autoregressive_steps=0, optimiser=optimiser),
        reward_end=RewardEndTrainingConfig(
            batch_size=8, transitions=10, optimiser=replace(optimiser, max_grad_norm=100.0)
        ),
        actor_critic=ActorCriticTrainingConfig(optimiser=replace(optimiser, weight_decay=0.0, max_grad_norm=100.0)),
        imagination=ImaginationConfig(batch_size=8),
        final_epochs=1,
        test=TestConfig(every=2, games=2, final_games=5, max_steps=2000),
        checkpoint_minutes=1.0,
    )


PRESETS = {
    "paper": Preset(
        paper,
        "the paper's method and sizes; the paper reports 2.9 days on an RTX 4090, a CPU would take months",
    ),
    "quick": Preset(
        quick,
        "to see every stage run, in minutes: dreams stay blurry and forget small things such as a ball, "
        "and the agent plays about as well as chance",
    ),
}
