"""Held-out real play: from emulator seeds that training never uses, by the world's agent and at random.

Shapes: B games side by side, H height, W width.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.agents import EpsilonPolicy, Policy, RandomPolicy
from diamond_engine.emulators import open_emulator
from diamond_engine.episodes import EpisodeFolder
from diamond_engine.errors import DiamondError
from diamond_engine.frames import from_numpy
from diamond_engine.games import Game
from diamond_engine.world_model import World
from training.data.collect import Collector
from training.runs.progress import Show

HELD_OUT_SEEDS = 1_100_000_000
"""First emulator seed for evaluation; training uses seeds below 2^30."""
SEEDS_APART = 1000
"""Number of emulator seeds of one evaluation seed."""
MAX_SEED = 1_000_000
"""Largest ``--seed``: the emulator's seeds are 31-bit numbers."""
POLICY_EPSILONS = (1.0, 0.3, 0.1, 0.01)
"""Probabilities of a random action in the mix: from random play to the agent, never stuck waiting to fire."""


def held_out_seed(seed: int) -> int:
    """First emulator seed of an evaluation seed."""
    return HELD_OUT_SEEDS + SEEDS_APART * seed


def usable_epsilons(world: World, epsilons: tuple[float, ...]) -> tuple[float, ...]:
    """The policies a world can play; without an agent only random play.

    Raises ``DiamondError`` if there is none.
    """
    usable = epsilons if world.actor_critic is not None else tuple(epsilon for epsilon in epsilons if epsilon == 1)
    if not usable:
        raise DiamondError(f"{world.config.name} has no agent: use --policy-epsilon 1 (random play)")
    return usable


def collect_held_out(
    world: World,
    folder: Path,
    episodes: int,
    epsilons: tuple[float, ...],
    seed: int,
    device: str,
    dtype: str,
    show: Show = lambda done: None,
) -> EpisodeFolder:
    """Files ``episodes`` episodes, evenly from all policies. A lost life ends an episode, as in training.

    Every policy plays one game after another: among parallel games the short episodes would come first.
    """
    filed = EpisodeFolder(folder)
    for i, epsilon in enumerate(epsilons):
        emulator = open_emulator(world.game, 1, seed=held_out_seed(seed) + i, end_on_life_loss=True)
        policy = held_out_policy(world, epsilon, seed, device, dtype)
        collector = Collector(emulator, policy, {"game": world.game.name, "policy": f"epsilon {epsilon}", "seed": seed})
        for _ in range(i, episodes, len(epsilons)):
            collector.collect(filed, steps=1)
            show(len(filed))
        emulator.close()
    return filed


def record_side_by_side(
    game: Game,
    policy: Policy,
    folder: Path,
    games: int,
    steps: int,
    seed: int,
    show: Show = lambda done: None,
) -> EpisodeFolder:
    """Files all episodes of ``games`` parallel games of so many steps; unfinished ones count as truncated.

    A lost life ends an episode. ``seed`` is an emulator seed; ``show`` takes the steps of all games so far.
    """
    filed = EpisodeFolder(folder)
    with closing(open_emulator(game, games, seed=seed, end_on_life_loss=True)) as emulator:
        collector = Collector(emulator, policy, {"game": game.name, "seed": seed})
        for step in range(1, steps + 1):
            collector.step(filed)
            show(step * games)
        collector.truncate(filed)
    return filed


def play_held_out(
    world: World, games: int, epsilon: float, seed: int, device: str, dtype: str
) -> Generator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Plays forever: yields each step's frames, uint8 ``(B, H, W, 3)``, and the actions ``(B,)`` taken at them.

    Games continue through lost lives; a finished game is followed by a new one.
    """
    emulator = open_emulator(world.game, games, seed=held_out_seed(seed))
    policy = held_out_policy(world, epsilon, seed, device, dtype)
    frames = emulator.reset()
    try:
        while True:
            actions = policy.act(from_numpy(frames, torch.device("cpu"))).cpu().numpy()
            yield frames, actions
            result = emulator.step(actions)
            frames = result.frames
            if result.game_over.any():
                policy.reset(torch.from_numpy(result.game_over))
    finally:
        emulator.close()


def held_out_policy(world: World, epsilon: float, seed: int, device: str, dtype: str) -> Policy:
    """The world's agent with this probability of random actions; 1 needs no agent."""
    actions = len(world.game.actions)
    if epsilon == 1:
        return RandomPolicy(actions, seed)
    return EpsilonPolicy(world.agent(device, dtype, seed), actions, epsilon, seed)
