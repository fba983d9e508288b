"""Gymnasium environments as real games, batched by Gymnasium's own vector environment.

Shapes: B games side by side, H height, W width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from diamond_engine.emulators.emulator import EmulatorStep, check_actions
from diamond_engine.errors import UsageError
from diamond_engine.games import Game
from diamond_engine.games.gymnasium_games import Pictures, described, failures_of, make_environment


class GymnasiumEmulator:
    """B copies of an environment. Nothing tells of lives there: an episode is always a whole one."""

    def __init__(self, game: Game, num_envs: int = 1, *, seed: int = 0, end_on_life_loss: bool = False) -> None:
        """Raises ``UsageError`` where the environment has other actions than the game, and as it is made."""
        id = game.emulator.partition(":")[2]
        known, table = described(id)
        if not known.is_like(game):
            raise UsageError(f"{game.name} has other actions now ({', '.join(known.actions)}): it must be learned anew")
        self.game = game
        self.num_envs = num_envs
        self._id = id
        self._seed = seed
        self._values = table.values
        size = game.frame_height, game.frame_width
        with failures_of(id):
            copies = [lambda: Pictures(make_environment(id), *size)] * num_envs
            self._envs: Any = SyncVectorEnv(copies, autoreset_mode=AutoresetMode.SAME_STEP)

    def reset(self, seed: int | None = None) -> NDArray[np.uint8]:
        """See ``Emulator.reset``."""
        with failures_of(self._id):
            return self._envs.reset(seed=self._seed if seed is None else seed)[0]

    def step(self, actions: NDArray[np.integer]) -> EmulatorStep:
        """See ``Emulator.step``."""
        check_actions(self.game, self.num_envs, actions)
        with failures_of(self._id):
            frames, rewards, terminated, truncated, info = self._envs.step([self._values[i] for i in actions])
        over = terminated | truncated
        successors = frames
        if over.any():
            successors = frames.copy()
            successors[over] = np.stack(info["final_obs"][over])
        return EmulatorStep(frames, successors, rewards.astype(np.float32), terminated, truncated, game_over=over)

    def close(self) -> None:
        """See ``Emulator.close``."""
        self._envs.close()
