"""Fixtures shared by all rooms: tiny but complete worlds, real episodes, the kernels of the machine that tests."""

import fcntl
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine.actions import CsgoAction, csgo
from diamond_engine.agents import RandomPolicy
from diamond_engine.cache import cache_folder
from diamond_engine.contexts import StartContexts
from diamond_engine.csgo import csgo_world_config
from diamond_engine.diffusion import Denoiser, DenoiserConfig
from diamond_engine.emulators import open_emulator
from diamond_engine.episodes import Episode, EpisodeFolder
from diamond_engine.games import atari_game
from diamond_engine.networks import (
    ActorCritic,
    ActorCriticConfig,
    InnerModelConfig,
    RewardEndModel,
    RewardEndModelConfig,
    Tokenizer,
    TokenTransformer,
)
from diamond_engine.runtime.cpu.kernels import Kernels, KernelsUnavailableError, load_kernels
from diamond_engine.token_worlds import TokenWorld, iris_world_config
from diamond_engine.world_model import World
from diamond_engine.worlds import DiffusionWorld, DiffusionWorldConfig, paper_config, read_world, write_world
from training.data.collect import Collector


def tiny_config(game: str) -> DiffusionWorldConfig:
    """Every component of a world at a size that steps in milliseconds.

    Of three levels: the attention in the middle, of whose size the cost is a square, sees a frame a fourth as wide.
    """
    actions = len(atari_game(game).actions)
    levels = {"depths": (1,) * 3, "channels": (8,) * 3, "attn_depths": (False,) * 3}
    inner = InnerModelConfig(num_actions=actions, cond_channels=16, **levels)
    reward_end = RewardEndModelConfig(num_actions=actions, lstm_dim=8, cond_channels=8, **levels)
    return replace(
        paper_config(atari_game(game)),
        denoiser=DenoiserConfig(inner_model=inner),
        reward_end=reward_end,
        actor_critic=ActorCriticConfig(num_actions=actions, lstm_dim=8, channels=(4, 4, 4, 4)),
    )


def tiny_token_world(game: str = "Breakout") -> TokenWorld:
    """A world of IRIS with seeded random weights and real start contexts."""
    torch.manual_seed(0)
    published = iris_world_config(atari_game(game))
    sizes = {"channels": 32, "res_blocks": 1, "latent_channels": 16, "code_size": 16, "vocabulary": 32}
    transformer = {"vocabulary": 32, "max_blocks": 6, "layers": 2, "heads": 2, "width": 32}
    config = replace(
        published,
        tokenizer=replace(published.tokenizer, **sizes),
        transformer=replace(published.transformer, **transformer),
    )
    tokenizer, transformer_network = Tokenizer(config.tokenizer), TokenTransformer(config.transformer)
    torch.nn.init.normal_(tokenizer.embedding.weight)  # those of a new one all draw the same
    for parameter in transformer_network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return TokenWorld(
        config=config,
        tokenizer=tokenizer.eval(),
        transformer=transformer_network.eval(),
        contexts=real_contexts(game),
    )


def tiny_world(game: str = "Breakout") -> World:
    """A world with seeded random weights and real start contexts."""
    torch.manual_seed(0)
    config = tiny_config(game)
    assert config.reward_end is not None
    assert config.actor_critic is not None
    return DiffusionWorld(
        config=config,
        denoiser=Denoiser(config.denoiser).eval(),
        reward_end=RewardEndModel(config.reward_end).eval(),
        actor_critic=ActorCritic(config.actor_critic).eval(),
        contexts=real_contexts(game),
    )


def awaken(*networks: torch.nn.Module | None) -> None:
    """Fills parameters that begin as zero with noise, so that every layer of the networks does something."""
    for network in networks:
        for parameter in () if network is None else network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)


def awake_world() -> DiffusionWorld:
    """``tiny_world`` in which every layer of what draws and judges does something."""
    world = tiny_world()
    torch.manual_seed(1)
    awaken(world.denoiser, world.reward_end)
    return world


def tiny_first_person_config() -> DiffusionWorldConfig:
    """Both stages of the CS:GO world at its frame sizes, with networks that step in milliseconds."""
    config = csgo_world_config()
    assert config.upsampler is not None
    tiny = {"cond_channels": 16, "depths": (1,) * 4, "channels": (8,) * 4, "attn_depths": (False,) * 4}
    return replace(
        config,
        denoiser=replace(config.denoiser, inner_model=replace(config.denoiser.inner_model, **tiny)),
        upsampler=replace(config.upsampler, inner_model=replace(config.upsampler.inner_model, **tiny)),
    )


def make_first_person_world() -> World:
    """A world with seeded random weights, every layer doing something, and two start contexts."""
    torch.manual_seed(0)
    config = tiny_first_person_config()
    assert config.upsampler is not None
    denoiser, upsampler = Denoiser(config.denoiser).eval(), Denoiser(config.upsampler).eval()
    awaken(denoiser, upsampler)
    return DiffusionWorld(config=config, denoiser=denoiser, upsampler=upsampler, contexts=first_person_contexts())


def first_person_contexts(count: int = 2) -> StartContexts:
    """Contexts of noise at two scales, each followed by 12 recorded actions of which no two neighbours are the same."""
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(count, 4, 30, 56, 3), dtype=np.uint8)
    moves = [
        csgo.encode(CsgoAction(keys=(csgo.KEYS[i % 4],), mouse_x=float(rng.integers(-100, 100)))) for i in range(15)
    ]
    actions = np.stack([np.roll(moves, shift, axis=0) for shift in range(count)])
    return StartContexts(
        frames=frames,
        actions=actions[:, :3],
        full_res=frames[:, -1:].repeat(5, axis=2).repeat(5, axis=3),
        recorded=actions[:, 3:],
    )


def real_contexts(game: str, count: int = 4) -> StartContexts:
    """Contexts from the first steps of real games played at random, to change at will."""
    played = _played(game, count)
    return replace(played, frames=played.frames.copy(), actions=played.actions.copy())


@cache
def _played(game: str, count: int) -> StartContexts:
    """Those contexts, played once: a second and a half of CPU."""
    emulator = open_emulator(atari_game(game), count, seed=7)
    rng = np.random.default_rng(7)
    frames, actions = [emulator.reset()], []
    for _ in range(3):
        actions.append(rng.integers(len(emulator.game.actions), size=count))
        frames.append(emulator.step(actions[-1]).frames)
    emulator.close()
    return StartContexts(np.stack(frames, axis=1), np.stack(actions, axis=1))


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Breakout world on disk."""
    folder = tmp_path_factory.mktemp("world") / "Breakout"
    write_world(folder, tiny_world())
    return folder


@pytest.fixture(scope="session")
def token_world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Breakout world of IRIS on disk."""
    folder = tmp_path_factory.mktemp("token_world") / "Breakout"
    write_world(folder, tiny_token_world())
    return folder


@pytest.fixture(scope="session")
def compilable_world(kernels: Kernels, world_folder: Path) -> World:
    """A tiny world of networks that the kernels of the CPU can run, every layer doing something."""
    torch.manual_seed(0)
    config = tiny_config("Breakout")
    assert config.reward_end is not None
    assert config.actor_critic is not None
    inner = replace(config.denoiser.inner_model, channels=(32,) * 3)
    config = replace(
        config,
        denoiser=replace(config.denoiser, inner_model=inner),
        reward_end=replace(config.reward_end, channels=(32,) * 3),
        actor_critic=replace(config.actor_critic, channels=(32,) * 4),
    )
    assert config.reward_end is not None
    assert config.actor_critic is not None
    world = DiffusionWorld(
        config=config,
        denoiser=Denoiser(config.denoiser).eval(),
        reward_end=RewardEndModel(config.reward_end).eval(),
        actor_critic=ActorCritic(config.actor_critic).eval(),
        contexts=read_world(world_folder).contexts,
    )
    awaken(world.denoiser, world.reward_end, world.actor_critic)
    return world


@pytest.fixture(scope="session")
def tiny_first_person_world() -> World:
    """A tiny world of two stages with the frame sizes and actions of CS:GO."""
    return make_first_person_world()


@pytest.fixture(scope="session")
def first_person_folder(tmp_path_factory: pytest.TempPathFactory, tiny_first_person_world: World) -> Path:
    """The same on disk."""
    folder = tmp_path_factory.mktemp("first_person") / "csgo"
    write_world(folder, tiny_first_person_world)
    return folder


@pytest.fixture(scope="session")
def episode_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred steps of real Breakout, played at random, ending at every lost life."""
    folder = tmp_path_factory.mktemp("episodes")
    collect_random(folder, steps=400)
    return folder


def collect_random(folder: Path, steps: int, game: str = "Breakout") -> list[Episode]:
    """Files random episodes of a real game."""
    emulator = open_emulator(atari_game(game), 4, seed=3, end_on_life_loss=True)
    policy = RandomPolicy(len(emulator.game.actions), seed=3)
    episodes = Collector(emulator, policy, {"game": game, "policy": "random"}).collect(EpisodeFolder(folder), steps)
    emulator.close()
    return episodes


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """Built for this machine, or found in its cache. Of workers side by side one builds, the others wait."""
    try:
        with (tmp_path_factory.getbasetemp().parent / "kernels.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return load_kernels()
    except KernelsUnavailableError as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(f"no kernels here: {reason}")


@pytest.fixture(scope="session")
def quick_compiler(kernels: Kernels, tmp_path_factory: pytest.TempPathFactory) -> str:
    """For ``CXX``: a compiler that says at once what took the real one half a minute, the library of this machine."""
    script = tmp_path_factory.mktemp("compiler") / "c++"
    write_compiler(script, kernels)
    return str(script)


def write_compiler(script: Path, kernels: Kernels, first: str = "") -> None:
    """Writes a compiler whose output is the library that is loaded; ``first`` is what its shell does before."""
    library = cache_folder() / f"{kernels.name}.so"
    script.write_text(f"#!/bin/sh\n{first}\nfor last; do :; done\ncp '{library}' \"$last\"\n")
    script.chmod(0o755)
