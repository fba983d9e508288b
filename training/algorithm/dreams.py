"""Imagination while the world model is still learning: every reset starts from contexts in the replay.

Shapes: B dreams, L context length, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from diamond_engine.contexts import StartContexts
from diamond_engine.diffusion import SamplerConfig
from diamond_engine.environment import Info
from diamond_engine.episodes import EpisodeFolder, SegmentSampler
from diamond_engine.errors import DiamondError
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import Preset, World


@dataclass(frozen=True)
class ImaginationConfig:
    """Settings of imagination; the defaults are the paper's (Tables 3 and 4)."""

    batch_size: int = 32
    """Number of parallel dreams B."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """Sampler of their frames."""


class Dreams:
    """B dreams as a ``BatchedEnv``. After a reset they depend only on its seed, the world and the replay.

    A dream that ends restarts from another of the contexts drawn at the reset.
    """

    def __init__(
        self,
        episodes: EpisodeFolder,
        age_weights: Sequence[float],
        num_actions: int,
        num_envs: int,
        preset: Preset,
        runtime: Runtime,
    ) -> None:
        """``age_weights``: share of the contexts that each equal part of the episodes gets, oldest first."""
        self.num_envs = num_envs
        self.num_actions = num_actions
        self._episodes = episodes
        self._age_weights = age_weights
        self._preset = preset
        self._runtime = runtime
        self._env: WorldModelEnv | None = None

    def enter(self, world: World) -> None:
        """Uses this world, as it is now, from the next reset on."""
        runtime = self._runtime
        self._env = WorldModelEnv(
            replace(world, contexts=None),
            self.num_envs,
            str(runtime.device),
            self._preset,
            dtype=runtime.dtype_name,
        )

    def reset(self, seed: int | None = None) -> tuple[Tensor, Info]:
        """See ``BatchedEnv.reset``. Raises ``DiamondError`` if no episode is as long as a context."""
        assert self._env is not None
        start = self._contexts(np.random.default_rng(seed), self._env.world.context_length)
        return self._env.reset(seed, {"frames": start.frames, "actions": start.actions})

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Info]:
        """See ``BatchedEnv.step``."""
        assert self._env is not None
        return self._env.step(actions)

    def _contexts(self, rng: np.random.Generator, length: int) -> StartContexts:
        """Draws B contexts of L frames from episodes, which are chosen by age and length."""
        chances = SegmentSampler(self._episodes, length, self._age_weights).episode_probabilities()
        chances = chances * (self._episodes.lengths >= length)
        if not chances.any():
            raise DiamondError(f"no episode in {self._episodes.folder} has {length} steps: collect longer ones")
        frames, actions = [], []
        for index in rng.choice(len(chances), size=self.num_envs, p=chances / chances.sum()):
            episode = self._episodes[int(index)]
            start = int(rng.integers(len(episode) - length + 1))
            frames.append(episode.frames[start : start + length])
            actions.append(episode.actions[start : start + length - 1])
        return StartContexts(np.stack(frames), np.stack(actions))
