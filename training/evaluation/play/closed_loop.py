"""Plays the same policies in the dream and in the real game: lengths of lives and rewards.

A player's dreams start where its real lives did, as soon as there are enough frames for a context: from other contexts,
such as ones with the ball on its way to the bricks, a player who does nothing would earn more in the dream. A dreamed
life so lacks the few steps of its context.

A step limit cuts lives off, so that mostly short lives end. Hence all steps (or rewards) are divided by all ends, with
a bootstrap over the lives. Steps after a player's last end count.

Shapes: B games side by side, P lives, S resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.agents import EpsilonPolicy, Policy
from diamond_engine.contexts import StartContexts
from diamond_engine.emulators import open_emulator
from diamond_engine.environment import BatchedEnv, EmulatorEnv
from diamond_engine.frames import to_numpy
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.world_model import World
from training.data.collect import TRACKER_SPREAD
from training.data.scripted import TRACKERS, scripted_policy
from training.evaluation.dreams import Dreaming
from training.evaluation.held_out import held_out_policy, held_out_seed
from training.evaluation.metrics import rank_correlation
from training.evaluation.scores.aggregates import CONFIDENCE, RESAMPLES, Estimate
from training.runs.progress import Show

EPSILONS = (0.0, 0.1, 0.3)
"""Chances of a random action of the world's agent; 1 is the random player."""
HOLD = 8
"""Steps for which the player who holds its keys holds a random one, on average."""
FEWEST_TO_RANK = 3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lives:
    """Lives of one player, including unfinished ones."""

    steps: Floats
    """``(P,)``."""
    gained: Floats
    """Rewards above 0, each counted as 1 ``(P,)``."""
    lost: Floats
    """Rewards below 0, each counted as 1 ``(P,)``."""
    ended: Floats
    """1 where the life ended, 0 where it was cut off ``(P,)``."""


@dataclass(frozen=True)
class Side:
    """One player in the dream or in the real game."""

    steps: int
    """Of all games together."""
    ends: int
    """Lives that ended."""
    gained: int
    """Rewards above 0."""
    lost: int
    """Rewards below 0."""
    steps_between_ends: Estimate | None
    """Steps over ends; None where nothing ended."""
    reward_per_step: Estimate | None
    """Clipped rewards over steps."""
    return_per_life: Estimate | None
    """Clipped rewards over ends; None where nothing ended."""


@dataclass(frozen=True)
class Player:
    """One player on both sides."""

    name: str
    """For a person."""
    dreamed: Side
    """In the dream."""
    real: Side
    """On the emulator."""


@dataclass(frozen=True)
class ClosedLoop:
    """Result of ``measure_closed_loop``."""

    players: list[Player]
    """At least the random ones."""
    return_correlation: float | None
    """Spearman's, of dreamed and real return a life; None of fewer than 3 players with ends on both sides."""
    returns_ranked: int
    """Players with ends on both sides."""
    reward_correlation: float | None
    """The same of the reward a step, for all players: also games whose episodes outlast the measurement."""


def players_of(world: World, how: Dreaming) -> dict[str, Callable[[], Policy]]:
    """Makes each player of a world anew, by name."""
    game = world.game
    count = len(game.actions)
    makers: dict[str, Callable[[], Policy]] = {}
    for epsilon in EPSILONS if world.actor_critic is not None else ():
        name = f"agent epsilon {epsilon:g}" if epsilon else "agent"
        makers[name] = lambda epsilon=epsilon: held_out_policy(world, epsilon, how.seed, how.device, how.dtype)
    if game.name in TRACKERS:
        makers["scripted player"] = lambda: scripted_policy(game, how.seed, TRACKER_SPREAD)
    makers["random"] = lambda: held_out_policy(world, 1.0, how.seed, how.device, how.dtype)
    makers[f"random held {HOLD}"] = lambda: EpsilonPolicy(
        held_out_policy(world, 1.0, how.seed, how.device, how.dtype), count, 1.0, how.seed + 1, HOLD
    )
    return makers


def measure_closed_loop(world: World, how: Dreaming, steps: int, show: Show = lambda done: None) -> ClosedLoop:
    """Every player plays ``steps`` steps, rounded up to ``num_envs`` games, on each side; ends reset a game.

    The world must have a reward/end model. ``show`` takes the frames dreamed so far.
    """
    rng = np.random.default_rng(how.seed)
    each = max(world.context_length, -(-steps // how.num_envs))
    makers = players_of(world, how)
    starts = LifeStarts(world.context_length, how.seed)
    dream = WorldModelEnv(world, how.num_envs, how.device, how.preset, how.seed, dtype=how.dtype, contexts=starts)
    players: list[Player] = []
    with closing(open_emulator(world.game, how.num_envs, end_on_life_loss=True)) as emulator:
        game = EmulatorEnv(emulator, torch.device("cpu"))
        for number, (name, make) in enumerate(makers.items()):
            before = number * each * how.num_envs

            def show_all(done: int, before: int = before) -> None:
                show(before + done)

            starts.forget()
            real = play_loop(game, make(), each, held_out_seed(how.seed), starts=starts)
            dreamed = play_loop(dream, make(), each, how.seed, show_all)
            players.append(Player(name, side_of(dreamed, rng), side_of(real, rng)))
    return compared(players)


class LifeStarts:
    """The first frames of real lives, one of them drawn for every dream: a ``ContextSource``."""

    def __init__(self, length: int, seed: int) -> None:
        """Contexts of ``length`` frames."""
        self._length = length
        self._rng = np.random.default_rng(seed)
        self.forget()

    def forget(self) -> None:
        """Begins anew, for another player."""
        self._lives: dict[int, tuple[list[NDArray[np.uint8]], list[int]]] = {}
        self._whole: list[tuple[list[NDArray[np.uint8]], list[int]]] = []

    def see(self, actions: Tensor | None, obs: Tensor, begins: Tensor) -> None:
        """What actions ``(B,)`` led to, float ``(B, C, H, W)``, and where a life begins with it, bool ``(B,)``."""
        frames = to_numpy(obs)
        for i, frame in enumerate(frames):
            if begins[i]:
                self._lives[i] = [frame], []
            elif i in self._lives and actions is not None:
                seen, taken = self._lives[i]
                seen.append(frame)
                taken.append(int(actions[i]))
                if len(seen) == self._length:
                    self._whole.append(self._lives.pop(i))

    def draw(self, count: int) -> StartContexts:
        """See ``ContextSource.draw``."""
        chosen = [self._whole[i] for i in self._rng.integers(len(self._whole), size=count)]
        return StartContexts(np.array([frames for frames, _ in chosen]), np.array([actions for _, actions in chosen]))


def play_loop(
    env: BatchedEnv,
    policy: Policy,
    steps: int,
    seed: int,
    show: Show = lambda done: None,
    starts: LifeStarts | None = None,
) -> Lives:
    """Plays B games for so many steps each; a player forgets where a life ends or is cut off.

    ``starts`` sees the beginning of every life.
    """
    obs, _ = env.reset(seed)
    count = env.num_envs
    if starts is not None:
        starts.see(None, obs, torch.ones(count, dtype=torch.bool))
    under_way = np.zeros((count, 3))
    lives: list[tuple[Floats, bool]] = []
    for step in range(1, steps + 1):
        actions = policy.act(obs)
        obs, rewards, ends, truncs, _ = env.step(actions)
        signs = np.sign(rewards.cpu().numpy())
        under_way += np.stack((np.ones(count), signs > 0, signs < 0), axis=1)
        done = (ends | truncs).cpu()
        if starts is not None:
            starts.see(actions, obs, done)
        for i in np.flatnonzero(done.numpy()):
            lives.append((under_way[i].copy(), bool(ends[i])))
            under_way[i] = 0
        if bool(done.any()):
            policy.reset(done)
        show(step * count)
    lives += [(life, False) for life in under_way if life[0]]
    table = np.array([life for life, _ in lives])
    return Lives(table[:, 0], table[:, 1], table[:, 2], np.array([ended for _, ended in lives], dtype=np.float64))


def side_of(lives: Lives, rng: np.random.Generator) -> Side:
    """Sums and ratios of lives."""
    rewards = lives.gained - lives.lost
    return Side(
        steps=int(lives.steps.sum()),
        ends=int(lives.ended.sum()),
        gained=int(lives.gained.sum()),
        lost=int(lives.lost.sum()),
        steps_between_ends=ratio(lives.steps, lives.ended, rng),
        reward_per_step=ratio(rewards, lives.steps, rng),
        return_per_life=ratio(rewards, lives.ended, rng),
    )


def ratio(over: Floats, under: Floats, rng: np.random.Generator) -> Estimate | None:
    """Sum over sum of two columns ``(P,)``, resampled by lives; None where the lower sum is 0.

    An end of the interval at which nothing ended is None too.
    """
    if under.sum() == 0:
        return None
    chosen = rng.integers(len(over), size=(RESAMPLES, len(over)))
    tops, bottoms = over[chosen].sum(axis=1), under[chosen].sum(axis=1)
    resampled = np.divide(tops, bottoms, out=np.full(RESAMPLES, np.inf), where=bottoms > 0)
    levels = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = (float(end) if np.isfinite(end) else None for end in np.quantile(resampled, levels, method="nearest"))
    varies = len(over) > 1
    return Estimate(float(over.sum() / under.sum()), low if varies else None, high if varies else None)


def compared(players: list[Player]) -> ClosedLoop:
    """Ranks the players on both sides."""
    returns = [
        (player.dreamed.return_per_life.value, player.real.return_per_life.value)
        for player in players
        if player.dreamed.return_per_life and player.real.return_per_life
    ]
    rewards = [
        (player.dreamed.reward_per_step.value, player.real.reward_per_step.value)
        for player in players
        if player.dreamed.reward_per_step and player.real.reward_per_step
    ]
    return ClosedLoop(players, _correlation(returns), len(returns), _correlation(rewards))


def _correlation(pairs: list[tuple[float, float]]) -> float | None:
    if len(pairs) < FEWEST_TO_RANK:
        return None
    dreamed, real = np.array(pairs, dtype=np.float64).T
    return rank_correlation(dreamed, real)
