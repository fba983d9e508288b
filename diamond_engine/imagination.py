"""The world model as an environment: reset from real contexts, step by diffusion (Algorithm 1, lines 22 to 32).

Shapes: B environments, L context length, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.diffusion import sample
from diamond_engine.environment import Info
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.frames import from_numpy
from diamond_engine.networks.reward_end import LSTMState
from diamond_engine.runtime import Runtime
from diamond_engine.spawns import Spawns
from diamond_engine.worlds import Preset, World


class ContextSource(Protocol):
    """Where imagined episodes start from."""

    def draw(self, count: int) -> Spawns:
        """``count`` real contexts."""
        ...


class SpawnSource:
    """Draws uniformly from given contexts; ``seed`` may be a generator to share."""

    def __init__(self, spawns: Spawns, seed: int | np.random.Generator) -> None:
        self.spawns = spawns
        self._rng = np.random.default_rng(seed)

    def draw(self, count: int) -> Spawns:
        """See ``ContextSource.draw``."""
        chosen = self._rng.integers(len(self.spawns), size=count)
        return Spawns(self.spawns.frames[chosen], self.spawns.actions[chosen])


class WorldModelEnv:
    """B imagined games stepped together; one that ends is reset in the same step (unless ``autoreset`` is off).

    ``reset`` returns ``(obs, info)``; ``step(actions)`` returns ``(obs, reward, terminated, truncated, info)``: obs
    float ``(B, C, H, W)`` in [-1, 1], reward float ``(B,)`` in {-1, 0, 1}, terminated and truncated bool ``(B,)``. When
    some environment was reset, info holds ``final_obs`` ``(B, C, H, W)``, what the action led to, and ``context``
    ``(B, L-1, C, H, W)``, the frames before ``obs`` (both to be read only where it was reset). The world's networks
    stay as they are: the environment works on copies.
    """

    def __init__(
        self,
        world: World,
        num_envs: int = 8,
        device: str = "auto",
        preset: str | Preset | None = None,
        seed: int = 0,
        *,
        dtype: str = "auto",
        horizon: int | None = None,
        contexts: ContextSource | None = None,
        autoreset: bool = True,
    ) -> None:
        """``horizon`` truncates imagined episodes after so many steps; ``contexts`` replaces the world's spawns.

        Without ``autoreset`` a dream goes on from the frame that ended it until ``reset``. Raises ``UsageError`` for an
        unknown preset or device name.
        """
        self.world = world
        self.num_envs = num_envs
        self.num_actions = len(world.game.actions)
        self.horizon = horizon
        self.autoreset = autoreset
        self.preset = preset if isinstance(preset, Preset) else world.config.preset(preset)
        self.runtime = Runtime.choose(device, dtype)
        self._denoiser = self.runtime.for_inference(world.denoiser)
        self._reward_end = None if world.reward_end is None else self.runtime.for_inference(world.reward_end)
        self._contexts = contexts
        self._spawns = world.spawns
        self.seed(seed)
        self._frames = torch.zeros(0)
        self._actions = torch.zeros(0)
        self._state: LSTMState | None = None
        self._steps = torch.zeros(0)

    def seed(self, seed: int) -> None:
        """Restarts all randomness but that of ``contexts``: same seed, device, dtype and actions, same frames."""
        self._generator = self.runtime.generator(seed)
        self._rng = np.random.default_rng(seed)

    @torch.no_grad()
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Tensor, Info]:
        """Starts all environments, from ``options`` or from drawn contexts.

        ``options``: ``frames`` uint8 ``(B, L, H, W, 3)``, oldest first, and ``actions`` ``(B, L-1)`` between them; a
        world without start contexts draws its restarts from them. Raises ``UsageError`` for options that do not fit.
        """
        if seed is not None:
            self.seed(seed)
        start = self._checked(options) if options else self._draw(self.num_envs)
        self._spawns = self.world.spawns or start
        self._frames = from_numpy(start.frames, self.runtime.device)
        self._actions = self._context_actions(start.actions)
        self._state = self._warm(self._frames, self._actions)
        self._steps = torch.zeros(self.num_envs, dtype=torch.int64, device=self.runtime.device)
        return self._frames[:, -1], {"context": self._frames[:, :-1]}

    @torch.no_grad()
    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Info]:
        """Takes actions int64 ``(B,)``; see the class."""
        if len(self._frames) != self.num_envs:
            raise UsageError("call reset() before step()")
        self._actions[:, -1] = actions
        obs = self._next_frame()
        rewards, ends = self._judge(obs)
        self._frames = torch.cat((self._frames[:, 1:], obs[:, None]), dim=1)
        self._actions = torch.cat((self._actions[:, 1:], torch.zeros_like(self._actions[:, :1])), dim=1)
        self._steps += 1
        truncs = torch.zeros_like(ends) if self.horizon is None else (self._steps >= self.horizon) & ~ends
        dead = ends | truncs
        info: Info = {}
        if self.autoreset and bool(dead.any()):
            self._restart(dead)
            info = {"final_obs": obs, "context": self._frames[:, :-1]}
        return self._frames[:, -1], rewards, ends, truncs, info

    def _next_frame(self) -> Tensor:
        b, _, *image = self._frames.shape
        denoise = self._denoiser.given_actions(self._actions)
        return sample(denoise, self._noise, (b, *image), self._frames.flatten(1, 2), self.preset.dynamics)

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self.runtime.device)

    def _judge(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Samples rewards and ends ``(B,)`` of the transition to ``obs``; none without a reward/end model."""
        if self._reward_end is None:
            zeros = torch.zeros(self.num_envs, device=self.runtime.device)
            return zeros, zeros.bool()
        reward_logits, end_logits, self._state = self._reward_end(
            self._frames[:, -1:], self._actions[:, -1:], obs[:, None], self._state
        )
        reward_class, end_class = (
            torch.multinomial(logits[:, 0].float().softmax(-1), 1, generator=self._generator).squeeze(1)
            for logits in (reward_logits, end_logits)
        )
        return reward_class.float() - 1, end_class.bool()

    def _warm(self, frames: Tensor, actions: Tensor) -> LSTMState | None:
        if self._reward_end is None:
            return None
        return self._reward_end(frames[:, :-1], actions[:, :-1], frames[:, 1:])[2]

    def _restart(self, dead: Tensor) -> None:
        start = self._draw(int(dead.sum()))
        frames, actions = from_numpy(start.frames, self.runtime.device), self._context_actions(start.actions)
        state = self._warm(frames, actions)
        self._frames[dead], self._actions[dead], self._steps[dead] = frames, actions, 0
        if state is not None and self._state is not None:
            for old, new in zip(self._state, state, strict=True):
                old[:, dead] = new

    def _draw(self, count: int) -> Spawns:
        if self._contexts is not None:
            return self._contexts.draw(count)
        if self._spawns is None:
            raise DiamondError(f"{self.world.config.name} has no start contexts: pass frames and actions to reset()")
        return SpawnSource(self._spawns, self._rng).draw(count)

    def _context_actions(self, actions: NDArray[np.int64]) -> Tensor:
        between = torch.as_tensor(np.ascontiguousarray(actions, dtype=np.int64), device=self.runtime.device)
        return torch.cat((between, torch.zeros_like(between[:, :1])), dim=1)

    def _checked(self, options: dict[str, Any]) -> Spawns:
        if options.keys() != {"frames", "actions"}:
            raise UsageError(f"options of reset() are frames and actions, not {', '.join(map(str, options))}")
        frames, actions = np.asarray(options["frames"]), np.asarray(options["actions"])
        cfg, length = self.world.config, self.world.context_length
        expected = (self.num_envs, length, cfg.frame_height, cfg.frame_width, 3)
        if frames.shape != expected or frames.dtype != np.uint8:
            raise UsageError(f"options['frames'] must be uint8 {expected}, not {frames.dtype} {frames.shape}")
        if actions.shape != (self.num_envs, length - 1):
            raise UsageError(f"options['actions'] must have shape {(self.num_envs, length - 1)}, not {actions.shape}")
        if not np.isin(actions, range(self.num_actions)).all():
            raise UsageError(f"options['actions'] must be whole numbers from 0 to {self.num_actions - 1}")
        return Spawns(frames, actions.astype(np.int64))
