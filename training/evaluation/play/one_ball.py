"""Measures whether a long dream keeps one ball and one paddle while the scripted policy plays.

Shapes: B games side by side, H height, W width.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import torch

from diamond_engine.emulators import open_emulator
from diamond_engine.environment import BatchedEnv, EmulatorEnv
from diamond_engine.frames import to_numpy
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.world_model import World
from training.data.collect import TRACKER_SPREAD
from training.data.scripted import scripted_policy
from training.data.scripted.readers import Position, Reader
from training.evaluation.dreams import Dreaming
from training.evaluation.held_out import held_out_seed
from training.evaluation.metrics import Frames
from training.runs.progress import Show

DREAMS = 8
"""Long dreams side by side, at most."""


@dataclass(frozen=True)
class Things:
    """Shares of frames."""

    frames: int
    """Number of frames."""
    one_ball: float
    """Exactly one ball, or none where it may be out of sight: behind bricks, out, or not yet served."""
    ball_in_sight: float
    """Exactly one ball: a dream that never serves one shows none at all."""
    several_balls: float
    """More than one ball."""
    ball_gone: float
    """No ball, though it was last seen in the middle of the field."""
    one_paddle: float
    """Exactly one paddle."""
    one_of_each: float
    """Both."""


@dataclass(frozen=True)
class OneBall:
    """Result of ``measure_one_ball``."""

    dreamed: Things
    """Dreams that nothing ends."""
    real: Things
    """As many real games as long."""


class Watch:
    """Counts balls and paddles in B games."""

    def __init__(self, reader: Reader, games: int) -> None:
        self.reader = reader
        self._seen: list[Position | None] = [None] * games
        self._hidden = [0] * games
        self._frames = self._one = self._sight = self._several = self._gone = self._paddle = self._both = 0

    def begin(self, frames: Frames) -> None:
        """Notes where the balls of the frames before the first are ``(B, H, W, 3)``."""
        self._seen = [self.reader.ball(frame) for frame in frames]

    def add(self, frames: Frames) -> None:
        """Adds the next frame of every game ``(B, H, W, 3)``."""
        for i, frame in enumerate(frames):
            balls, paddle = self.reader.balls(frame), self.reader.paddles(frame) == 1
            self._hidden[i] = 0 if balls else self._hidden[i] + 1
            gone = balls == 0 and not self._may_be_hidden(i)
            one = balls <= 1 and not gone
            self._frames += 1
            self._one += one
            self._sight += balls == 1
            self._several += balls > 1
            self._gone += gone
            self._paddle += paddle
            self._both += one and paddle
            if balls:
                self._seen[i] = self.reader.ball(frame)

    def _may_be_hidden(self, i: int) -> bool:
        seen = self._seen[i]
        return seen is None or self.reader.may_be_hidden(seen, self._hidden[i])

    def things(self) -> Things:
        """Shares of all frames so far."""
        counts = (self._one, self._sight, self._several, self._gone, self._paddle, self._both)
        return Things(self._frames, *(count / self._frames for count in counts))


def measure_one_ball(
    world: World, reader: Reader, how: Dreaming, steps: int, show: Show = lambda done: None
) -> OneBall:
    """Dreams ``steps`` steps from the world's start contexts, and plays as many; ``show`` takes the frames dreamed."""
    games = min(DREAMS, how.num_envs)
    unending = world.unjudged()
    dream = WorldModelEnv(unending, games, how.device, how.preset, how.seed, dtype=how.dtype, autoreset=False)
    dreamed = _watched(world, dream, reader, steps, how.seed, show)
    with closing(open_emulator(world.game, games, end_on_life_loss=True)) as emulator:
        env = EmulatorEnv(emulator, torch.device("cpu"))
        return OneBall(dreamed, _watched(world, env, reader, steps, held_out_seed(how.seed)))


def _watched(
    world: World, env: BatchedEnv, reader: Reader, steps: int, seed: int, show: Show = lambda done: None
) -> Things:
    watch = Watch(reader, env.num_envs)
    policy = scripted_policy(world.game, 0, TRACKER_SPREAD)
    obs, _ = env.reset(seed)
    watch.begin(to_numpy(obs))
    for step in range(1, steps + 1):
        obs = env.step(policy.act(obs))[0]
        watch.add(to_numpy(obs))
        show(step * env.num_envs)
    return watch.things()
