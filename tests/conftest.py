"""Fixtures shared by all rooms: a tiny but complete world on disk, and episodes played in the real emulator."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine.actions import atari_game
from diamond_engine.agents import RandomPolicy
from diamond_engine.diffusion import Denoiser, DenoiserConfig
from diamond_engine.emulator import AtariEmulator
from diamond_engine.episodes import Episode, EpisodeFolder
from diamond_engine.networks import (
    ActorCritic,
    ActorCriticConfig,
    InnerModelConfig,
    RewardEndModel,
    RewardEndModelConfig,
)
from diamond_engine.worlds import Spawns, World, WorldConfig, atari_world_config, write_world
from training.collect import Collector


def tiny_config(game: str) -> WorldConfig:
    """Every component of a world at a size that steps in milliseconds."""
    actions = len(atari_game(game).actions)
    inner = InnerModelConfig(
        num_actions=actions, cond_channels=16, depths=(1, 1), channels=(8, 8), attn_depths=(False, False)
    )
    reward_end = RewardEndModelConfig(
        num_actions=actions, lstm_dim=8, cond_channels=8, depths=(1, 1), channels=(8, 8), attn_depths=(False, False)
    )
    return replace(
        atari_world_config(atari_game(game)),
        denoiser=DenoiserConfig(inner_model=inner),
        reward_end=reward_end,
        actor_critic=ActorCriticConfig(num_actions=actions, lstm_dim=8, channels=(4, 4, 4, 4)),
    )


def tiny_world(game: str = "Breakout") -> World:
    """A world with seeded random weights and real start contexts."""
    torch.manual_seed(0)
    config = tiny_config(game)
    assert config.reward_end is not None
    assert config.actor_critic is not None
    return World(
        config=config,
        denoiser=Denoiser(config.denoiser).eval(),
        reward_end=RewardEndModel(config.reward_end).eval(),
        actor_critic=ActorCritic(config.actor_critic).eval(),
        spawns=real_spawns(game),
    )


def real_spawns(game: str, count: int = 4) -> Spawns:
    """Contexts from the first steps of real games played at random."""
    emulator = AtariEmulator(atari_game(game), count, seed=7)
    rng = np.random.default_rng(7)
    frames, actions = [emulator.reset()], []
    for _ in range(3):
        actions.append(rng.integers(len(emulator.game.actions), size=count))
        frames.append(emulator.step(actions[-1]).frames)
    emulator.close()
    return Spawns(np.stack(frames, axis=1), np.stack(actions, axis=1))


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Breakout world on disk."""
    folder = tmp_path_factory.mktemp("world") / "Breakout"
    write_world(folder, tiny_world())
    return folder


@pytest.fixture(scope="session")
def episode_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred steps of real Breakout, played at random, ending at every lost life."""
    folder = tmp_path_factory.mktemp("episodes")
    collect_random(folder, steps=400)
    return folder


def collect_random(folder: Path, steps: int, game: str = "Breakout") -> list[Episode]:
    """Files random episodes of a real game."""
    emulator = AtariEmulator(atari_game(game), 4, seed=3, end_on_life_loss=True)
    policy = RandomPolicy(len(emulator.game.actions), seed=3)
    episodes = Collector(emulator, policy, {"game": game, "policy": "random"}).collect(EpisodeFolder(folder), steps)
    emulator.close()
    return episodes
