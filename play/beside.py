"""The dream beside the real game: both start from the same real frames and receive the same actions.

Shapes: H height, W width, L context length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine import World, WorldModelEnv
from diamond_engine.emulators import Emulator, open_emulator
from diamond_engine.frames import to_numpy
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import Preset
from play.actions import Action
from play.genres import BESIDE_GAP
from play.sources import Opening, Start, Transition
from play.view import Frame, Origin

WARM_UP = 24
"""Random steps of the real game before a dream starts, so that the ball is in play."""


@dataclass(frozen=True)
class Beginning:
    """The newest frames of a real game that has just begun, and the actions between them."""

    frames: NDArray[np.uint8]
    """``(L, H, W, 3)`` RGB, oldest first."""
    actions: NDArray[np.int64]
    """``(L-1,)``."""


def begin_game(emulator: Emulator, length: int, seed: int) -> Beginning:
    """Starts a game of one emulator and plays at random up to a context of ``length`` frames. Same seed, same frames.

    If the game ends on the way, another one follows.
    """
    rng = np.random.default_rng(seed)
    frames, actions = [emulator.reset(seed)[0].copy()], []
    while len(frames) < max(length, WARM_UP):
        actions.append(int(rng.integers(len(emulator.game.actions))))
        result = emulator.step(np.array(actions[-1:]))
        frames.append(result.frames[0].copy())
        if result.game_over[0]:
            frames, actions = frames[-1:], []
    return Beginning(np.stack(frames[-length:]), np.array(actions[len(actions) - length + 1 :], dtype=np.int64))


class Beside:
    """A dream and the real game side by side, as one source: its frames show the dream, then the game.

    The dream's own frame is ``dreamed``. Rewards and ends are the dream's. A finished real game keeps its last frame.
    """

    origin = Origin.BESIDE
    num_contexts = 0

    def __init__(self, world: World, preset: Preset, runtime: Runtime) -> None:
        """Raises ``DiamondError`` where the emulator lacks the game."""
        self._emulator = open_emulator(world.game)
        self._length = world.context_length
        self._env = WorldModelEnv(world, 1, runtime, preset)
        self._real: Frame | None = None
        self._over = False

    def reset(self, start: Start) -> Opening:
        """See ``Source.reset``."""
        beginning = begin_game(self._emulator, self._length, start.seed)
        options = {"frames": beginning.frames[None], "actions": beginning.actions[None]}
        obs, _ = self._env.reset(start.seed, options)
        real, dreamed = beginning.frames[-1], to_numpy(obs[0])
        self._real, self._over = real, False
        return Opening(side_by_side(dreamed, real), dreamed=dreamed)

    def step(self, action: Action) -> Transition:
        """See ``Source.step``."""
        obs, reward, ended, truncated, info = self._env.step(torch.tensor([action]))
        dreamed = to_numpy(info.get("final_obs", obs)[0])
        if not self._over:
            result = self._emulator.step(np.array([action]))
            self._real, self._over = result.successors[0].copy(), bool(result.game_over[0])
        assert self._real is not None
        return Transition(
            frame=side_by_side(dreamed, self._real),
            reward=float(reward[0]),
            ended=bool(ended[0]),
            truncated=bool(truncated[0]),
            dreamed=dreamed,
        )

    def run_on(self, runtime: Runtime) -> None:
        """See ``Source.run_on``."""
        self._env.run_on(runtime)

    def close(self) -> None:
        """See ``Source.close``."""
        self._emulator.close()


def side_by_side(left: Frame, right: Frame) -> Frame:
    """Two frames ``(H, W, 3)`` with a gap between them: ``(H, 2W + 2, 3)``."""
    gap = np.zeros((len(left), BESIDE_GAP, 3), dtype=np.uint8)
    return np.concatenate((left, gap, right), axis=1)
