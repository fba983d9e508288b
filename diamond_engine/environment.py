"""The environments an actor-critic learns in, real or imagined: B of them stepped together, in torch.

Shapes: B environments, C channels, H height, W width, L context length.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from diamond_engine.emulators import Emulator
from diamond_engine.frames import from_numpy

Info = dict[str, Tensor]


class BatchedEnv(Protocol):
    """Steps B environments; one that ends is reset in the same step."""

    num_envs: int
    num_actions: int

    def reset(self, seed: int | None = None) -> tuple[Tensor, Info]:
        """Starts all environments: observations ``(B, C, H, W)`` in [-1, 1] and info."""
        ...

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Info]:
        """Actions ``(B,)`` int64 → observations ``(B, C, H, W)``, rewards, ends, truncations ``(B,)``, info.

        If an environment was reset, info holds ``final_obs`` ``(B, C, H, W)``, what the action led to, and possibly
        ``context`` ``(B, L-1, C, H, W)``, the frames before the new observation.
        """
        ...


class EmulatorEnv:
    """The real emulator as a ``BatchedEnv``; also adds up the score of whole games."""

    def __init__(self, emulator: Emulator, device: torch.device) -> None:
        self.emulator = emulator
        self.device = device
        self.num_envs = emulator.num_envs
        self.num_actions = len(emulator.game.actions)
        self.finished_scores: list[float] = []
        self._scores = np.zeros(self.num_envs)

    def reset(self, seed: int | None = None) -> tuple[Tensor, Info]:
        """See ``BatchedEnv.reset``."""
        self._scores[:] = 0
        return from_numpy(self.emulator.reset(seed), self.device), {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Info]:
        """See ``BatchedEnv.step``."""
        result = self.emulator.step(actions.cpu().numpy())
        self._scores += result.rewards
        self.finished_scores.extend(self._scores[result.game_over].tolist())
        self._scores[result.game_over] = 0
        info: Info = {}
        if (result.terminated | result.truncated).any():
            info["final_obs"] = from_numpy(result.successors, self.device)
        rewards, ends, truncs = (
            torch.as_tensor(x, device=self.device) for x in (result.rewards, result.terminated, result.truncated)
        )
        return from_numpy(result.frames, self.device), rewards, ends, truncs, info
