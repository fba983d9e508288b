"""The two sides of every comparison: the plain path, as in the authors' code, and this project's fast path.

Shapes: B dreams, L context length, K full-resolution frames, C channels, H height, W width.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.worlds import idle_actions
from diamond_engine.agents import Agent
from diamond_engine.diffusion import sample
from diamond_engine.diffusion.denoiser import enlarge
from diamond_engine.environment import Info
from diamond_engine.frames import from_numpy, to_numpy
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.runtime import Runtime
from diamond_engine.worlds import DiffusionPreset, DiffusionWorld


class PlainRuntime(Runtime):
    """Float32, images in NCHW, torch's kernels called one by one."""

    def for_training(self, network: Any) -> Any:
        """Moves a network without rewrites."""
        return network.to(self.device)


class PlainDreams:
    """The authors' world model environment: separate calls, the sampler in Python, nothing precomputed.

    A ``BatchedEnv`` whose dreams never end, so that both sides always do the same work.
    """

    def __init__(self, world: DiffusionWorld, batch: int, preset: DiffusionPreset, device: torch.device) -> None:
        self.num_envs = batch
        self.num_actions = world.config.denoiser.inner_model.num_actions or 0
        self._world, self._preset, self._device = world, preset, device
        self._denoiser = placed(world.denoiser, device)
        self._upsampler = None if world.upsampler is None else placed(world.upsampler, device)
        self._reward_end = None if world.reward_end is None else placed(world.reward_end, device)
        self._frames = self._full_res = self._actions = torch.zeros(0)
        self._state: Any = None

    @torch.no_grad()
    def reset(self, seed: int | None = None) -> tuple[Tensor, Info]:
        """Starts from the world's contexts."""
        if seed is not None:
            torch.manual_seed(seed)
        assert self._world.contexts is not None
        chosen = self._world.contexts.take(torch.arange(self.num_envs).remainder(len(self._world.contexts)).numpy())
        self._frames = from_numpy(chosen.frames, self._device)
        if self._upsampler is not None and chosen.full_res is not None:
            self._full_res = from_numpy(chosen.full_res, self._device)
        between = torch.as_tensor(chosen.actions, device=self._device)
        between = between.float() if self._world.config.action_shape else between.long()
        self._actions = torch.cat((between, torch.zeros_like(between[:, :1])), dim=1)
        if self._reward_end is not None:
            self._state = self._reward_end(self._frames[:, :-1], between, self._frames[:, 1:])[2]
        return self._frames[:, -1], {"context": self._frames[:, :-1]}

    @torch.no_grad()
    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Info]:
        """Draws the next frame and samples reward and end."""
        self._actions[:, -1] = actions
        obs = frame = self._drawn(self._denoiser, self._frames, self._frames.flatten(1, 2), self._actions)
        rewards, ends = self._judged(frame)
        self._frames = torch.cat((self._frames[:, 1:], frame[:, None]), dim=1)
        if self._upsampler is not None:
            enlarged = enlarge(frame, self._upsampler.cfg.upsampling_factor or 1)
            context = torch.cat((self._full_res.flatten(1, 2), enlarged), dim=1)
            obs = self._drawn(self._upsampler, self._full_res, context, None)
            self._full_res = torch.cat((self._full_res[:, 1:], obs[:, None]), dim=1)
        self._actions = self._actions.roll(-1, dims=1)
        return obs, rewards, torch.zeros_like(ends), torch.zeros_like(ends), {}

    def _drawn(self, denoiser: Any, like: Tensor, context: Tensor, actions: Tensor | None) -> Tensor:
        sampler = self._preset.dynamics if denoiser is self._denoiser else self._preset.upsampler
        assert sampler is not None
        b, _, *image = like.shape
        return sample(denoiser.given_actions(actions), self._noise, (b, *image), context, sampler)

    def _judged(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        if self._reward_end is None:
            zeros = torch.zeros(self.num_envs, device=self._device)
            return zeros, zeros.bool()
        rewards, ends, self._state = self._reward_end(
            self._frames[:, -1:], self._actions[:, -1:], frame[:, None], self._state
        )
        rewards, ends = (torch.multinomial(logits[:, 0].softmax(-1), 1).squeeze(1) for logits in (rewards, ends))
        return rewards.float() - 1, ends.bool()

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, device=self._device)


class PlainGame:
    """A whole frame the authors' way: the agent (if there is one), the world model, and copying the frame back."""

    def __init__(self, world: DiffusionWorld, batch: int, preset: DiffusionPreset, device: torch.device) -> None:
        self._dreams = PlainDreams(world, batch, preset, device)
        self._agent = None if world.actor_critic is None else placed(world.actor_critic, device)
        self._state = None if self._agent is None else self._agent.initial_state(batch)
        self._actions = idle_actions(world, batch).to(device)
        self._obs = self._dreams.reset(0)[0]

    @torch.no_grad()
    def step(self) -> None:
        """One frame of every dream."""
        actions = self._actions
        if self._agent is not None:
            logits, _, self._state = self._agent(self._obs, self._state)
            actions = torch.multinomial(logits.softmax(-1), 1).squeeze(1)
        self._obs = self._dreams.step(actions)[0]
        to_numpy(self._obs)


class FastGame:
    """A whole frame as ``diamond-play`` draws it."""

    def __init__(self, world: DiffusionWorld, batch: int, preset: DiffusionPreset, runtime: Runtime) -> None:
        dtype = runtime.dtype_name
        self._env = WorldModelEnv(world, batch, str(runtime.device), preset, dtype=dtype, autoreset=False)
        self._agent = None if world.actor_critic is None else Agent(world.actor_critic, self._env.runtime)
        self._actions = idle_actions(world, batch).to(runtime.device)
        self._obs = self._env.reset(0)[0]

    def step(self) -> None:
        """One frame of every dream."""
        actions = self._actions if self._agent is None else self._agent.act(self._obs)
        self._obs = self._env.step(actions)[0]
        to_numpy(self._obs)


def placed(network: Any, device: torch.device) -> Any:
    """The network itself if it is on the device already, else a copy there."""
    assert isinstance(network, nn.Module)
    if all(parameter.device == device for parameter in network.parameters()):
        return network
    return deepcopy(network).to(device)
