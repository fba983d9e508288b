"""Worlds side by side on the same real play: what each draws, and what it costs (Section 5.3, Figure 5 of the paper).

Shapes: B dreams, L context length of the world that needs most, S steps, H height, W width.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.episodes import EpisodeFolder, cut
from diamond_engine.errors import UsageError
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming, dream_steps
from training.evaluation.fidelity.episodes import Start
from training.evaluation.metrics import Detection, Frames, wrong_pixel_ratio
from training.evaluation.play.moving_pixels import HORIZON, MEASURED_STEPS, MovingPixels, agreement
from training.runs.progress import Show

TIMED_STEPS = 5
AGENT = "actor_critic"


@dataclass(frozen=True)
class Cost:
    """What a world takes."""

    network_calls: int
    """Calls of networks, one after the other, that draw a frame."""
    ms_a_frame: float
    """Milliseconds of one dream's step: the median of ``TIMED_STEPS``."""
    parameters: int
    """Of all networks but the agent's."""
    training_seconds: float | None
    """That its components were trained for, where it tells."""


@dataclass(frozen=True)
class Contender:
    """One world's result."""

    label: str
    """Its name or folder."""
    kind: str
    """``diamond`` or ``iris``."""
    wrong_pixel_ratios: list[float | None]
    """At each of ``MEASURED_STEPS``; see ``metrics.wrong_pixel_ratio``."""
    moving_pixels: list[MovingPixels]
    """At the same steps."""
    rewards: Detection
    """Rewards that are not 0, by sign, each at the step of the real one."""
    frames: Frames
    """The dream from the first start ``(S, H, W, 3)``."""
    cost: Cost


@dataclass(frozen=True)
class Comparison:
    """Result of ``compare_worlds``."""

    contexts: int
    """Dreams of every world."""
    real: Frames
    """What really followed the first start ``(S, H, W, 3)``."""
    contenders: list[Contender]


@dataclass(frozen=True)
class RealPlay:
    """Pieces of real play."""

    frames: Frames
    """``(B, L+S, H, W, 3)``."""
    actions: NDArray[np.int64]
    """Taken at all frames but the last ``(B, L+S-1)``."""
    rewards: NDArray[np.float32]
    """Of the S actions from the newest context frame on ``(B, S)``."""

    @property
    def context(self) -> int:
        """Frames L before what is dreamed."""
        return self.frames.shape[1] - HORIZON


def longest_context(worlds: Mapping[str, World]) -> int:
    """Frames L that all worlds can start from. Raises ``UsageError`` for worlds of different games."""
    games = sorted({world.game.name for world in worlds.values()})
    if len(games) > 1:
        raise UsageError(f"worlds side by side must be of one game, not of {' and '.join(games)}")
    return max(world.context_length for world in worlds.values())


def read_play(folder: EpisodeFolder, starts: Sequence[Start], context: int) -> RealPlay:
    """Real play around places in episodes."""
    rows = [cut(folder[start.episode], start.newest + 1 - context, context + HORIZON) for start in starts]
    frames = np.asarray([row["frames"] for row in rows], dtype=np.uint8)
    actions = np.asarray([row["actions"] for row in rows], dtype=np.int64)[:, :-1]
    rewards = np.asarray([row["rewards"] for row in rows], dtype=np.float32)[:, context - 1 : -1]
    return RealPlay(frames, actions, rewards)


def compare_worlds(
    worlds: Mapping[str, World], ways: Mapping[str, Dreaming], play: RealPlay, show: Show = lambda done: None
) -> Comparison:
    """Every world, by label, dreams on from the same play with the same actions; ``show`` takes the frames so far."""
    contenders: list[Contender] = []
    dreamed_of_each = len(play.frames) * HORIZON
    for number, (label, world) in enumerate(worlds.items()):
        dreamed, rewards = _dreamt(world, ways[label], play, lambda done, n=number: show(n * dreamed_of_each + done))
        contenders.append(_contender(label, world, play, dreamed, rewards, measure_cost(world, ways[label])))
    return Comparison(len(play.frames), play.frames[0, play.context :], contenders)


def _dreamt(world: World, how: Dreaming, play: RealPlay, show: Show) -> tuple[Frames, NDArray[np.int64]]:
    """Frames ``(B, S, H, W, 3)`` and signs of rewards ``(B, S)``."""
    lead = play.context - world.context_length
    pieces: list[tuple[Frames, NDArray[Any]]] = []
    for first in range(0, len(play.frames), how.num_envs):
        batch = slice(first, first + how.num_envs)
        context, actions = play.frames[batch, lead : play.context], play.actions[batch, lead:]
        steps = list(dream_steps(world, replace(how, seed=how.seed + first), context, actions))
        frames, rewards = (np.stack([getattr(step, name) for step in steps], axis=1) for name in ("frames", "rewards"))
        pieces.append((frames, rewards))
        show((first + len(frames)) * HORIZON)
    frames, rewards = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return frames, np.sign(rewards).astype(np.int64)


def _contender(
    label: str, world: World, play: RealPlay, dreamed: Frames, rewards: NDArray[np.int64], cost: Cost
) -> Contender:
    real = play.frames[:, play.context - 1 :]
    return Contender(
        label=label,
        kind=world.config.kind,
        wrong_pixel_ratios=[wrong_pixel_ratio(dreamed[:, s - 1], real[:, s], real[:, 0]) for s in MEASURED_STEPS],
        moving_pixels=[agreement(real, dreamed, step) for step in MEASURED_STEPS],
        rewards=Detection.count(rewards, np.sign(play.rewards).astype(np.int64)),
        frames=dreamed[0],
        cost=cost,
    )


def measure_cost(world: World, how: Dreaming) -> Cost:
    """Times one dream of a world that has start contexts or not, and counts what it takes."""
    env = WorldModelEnv(world, 1, how.device, how.preset, how.seed, dtype=how.dtype, autoreset=False)
    height, width = world.config.dynamics_size
    blank = np.zeros((1, world.context_length, height, width, 3), dtype=np.uint8)
    env.reset(options={"frames": blank, "actions": np.zeros((1, world.context_length - 1), dtype=np.int64)})
    took: list[float] = []
    for _ in range(1 + TIMED_STEPS):  # the first prepares
        started = time.perf_counter()
        env.step(torch.zeros(1, dtype=torch.int64))[0].cpu()
        took.append(time.perf_counter() - started)
    networks = {name: network for name, network in world.networks.items() if name != AGENT}
    parts = [world.config.provenance.get(name) for name in networks]
    seconds = [part["seconds"] for part in parts if isinstance(part, dict) and "seconds" in part]
    return Cost(
        network_calls=world.config.network_calls(how.preset),
        ms_a_frame=1000 * statistics.median(took[1:]),
        parameters=sum(p.numel() for network in networks.values() for p in network.parameters()),
        training_seconds=float(sum(seconds)) if seconds else None,
    )
