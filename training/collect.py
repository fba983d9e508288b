"""Collects episodes from the real emulator with a policy.

Shapes: B games side by side, T steps, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.agents import Policy
from diamond_engine.emulator import AtariEmulator, EmulatorStep
from diamond_engine.episodes import Episode, EpisodeFolder
from diamond_engine.frames import from_numpy


@dataclass
class _Recording:
    """The episode so far of one game."""

    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def finish(
        self, final_frame: NDArray[np.uint8], terminated: bool, truncated: bool, attributes: Mapping[str, str | int | float]
    ) -> Episode:
        steps = len(self.actions)
        last = np.arange(steps) == steps - 1
        return Episode(
            frames=np.stack(self.frames),
            actions=np.asarray(self.actions, dtype=np.int64),
            rewards=np.asarray(self.rewards, dtype=np.float32),
            terminated=last & terminated,
            truncated=last & truncated,
            final_frame=final_frame,
            attributes=attributes,
        )


class Collector:
    """Plays B games with a policy and files every finished episode; games go on from call to call."""

    def __init__(
        self,
        emulator: AtariEmulator,
        policy: Policy,
        attributes: Mapping[str, str | int | float],
        device: torch.device | None = None,
    ) -> None:
        self.emulator = emulator
        self.policy = policy
        self.attributes = attributes
        self.device = device or torch.device("cpu")
        self._frames = emulator.reset()
        self._recordings = [_Recording() for _ in range(emulator.num_envs)]

    def collect(
        self, folder: EpisodeFolder, steps: int, on_steps: Callable[[int], None] = lambda steps: None
    ) -> list[Episode]:
        """Files episodes until they hold at least ``steps`` steps in all; returns them."""
        done: list[Episode] = []
        filed = 0
        while filed < steps:
            for episode in self._step():
                folder.append(episode)
                done.append(episode)
                filed += len(episode)
                on_steps(len(episode))
        return done

    def _step(self) -> list[Episode]:
        actions = self.policy.act(from_numpy(self._frames, self.device)).cpu().numpy()
        result = self.emulator.step(actions)
        for i, recording in enumerate(self._recordings):
            recording.frames.append(self._frames[i].copy())
            recording.actions.append(int(actions[i]))
            recording.rewards.append(float(result.rewards[i]))
        self._frames = result.frames
        ended = result.terminated | result.truncated
        if ended.any():
            self.policy.reset(torch.from_numpy(ended))
        return [self._finish(i, result) for i in np.flatnonzero(ended)]

    def _finish(self, i: int, result: EmulatorStep) -> Episode:
        recording, self._recordings[i] = self._recordings[i], _Recording()
        return recording.finish(
            result.successors[i].copy(), bool(result.terminated[i]), bool(result.truncated[i]), self.attributes
        )
