"""One step of dreams on the device, in place: a function without arguments, so that it can be recorded.

Shapes: B dreams, L context length, K full-resolution frames, C channels, A entries of an action vector, H height, W
width (h, w before upsampling).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diamond_engine.class_sampling import sample_class
from diamond_engine.diffusion.denoiser import enlarge
from diamond_engine.networks.reward_end import LSTMState, RewardEndModel
from diamond_engine.runtime.frames import FrameDenoiser

OnStage = Callable[[str, Tensor], None]
"""Called with the name of a stage and the frames ``(B, C, H, W)`` it drew, which are valid until the next step."""


@dataclass(frozen=True)
class Memory:
    """The state of dreams. Its tensors change in place and keep their place in memory."""

    frames: Tensor
    """The newest frames of the dynamics model, ``(B, L, C, h, w)``, oldest first."""
    actions: Tensor
    """The action taken at each frame, ``(B, L)`` or ``(B, L, A)``; the last entry is the action to take."""
    full_res: Tensor | None
    """The newest frames of the upsampler, if there is one, ``(B, K, C, H, W)``."""
    state: LSTMState | None
    """State of the reward/end model, if there is one."""
    rewards: Tensor
    """Rewards of the last step, ``(B,)``."""
    ends: Tensor
    """Whether the last step ended the dream, bool ``(B,)``."""

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors."""
        optional = [] if self.full_res is None else [self.full_res]
        return [self.frames, self.actions, self.rewards, self.ends, *optional, *(self.state or ())]

    @property
    def shown(self) -> Tensor:
        """The newest frame to show, ``(B, C, H, W)``."""
        return (self.frames if self.full_res is None else self.full_res)[:, -1]

    def begin(self, where: Tensor, start: Memory) -> None:
        """Restarts the dreams where mask ``(B,)`` holds from those of ``start``, in order. Rewards and ends stay."""
        self.frames[where], self.actions[where] = start.frames, start.actions
        if self.full_res is not None and start.full_res is not None:
            self.full_res[where] = start.full_res
        for half, other in zip(self.state or (), start.state or (), strict=True):
            half[:, where] = other


class FrameStep:
    """Draws the next frame of every dream and samples its reward and end. Nothing in it waits for the device."""

    def __init__(
        self,
        dynamics: FrameDenoiser,
        upsampler: FrameDenoiser | None,
        reward_end: RewardEndModel | None,
        generator: torch.Generator | None,
        on_stage: OnStage,
    ) -> None:
        """``generator`` is the source of all noise (None: torch's); ``on_stage`` is called after every stage."""
        self.dynamics, self.upsampler, self.reward_end = dynamics, upsampler, reward_end
        self._generator, self._on_stage = generator, on_stage

    def draw(self, memory: Memory) -> None:
        """Takes the last action of the memory, then appends a blank one for the next step."""
        frame = self.dynamics.draw(self._noise, memory.frames[:, -1].shape, memory.frames.flatten(1, 2), memory.actions)
        self._on_stage("dynamics", frame)
        self._judge(memory, frame)
        _push(memory.frames, frame)
        if memory.full_res is not None:
            self._enlarge(memory.full_res, frame)
            self._on_stage("upsampler", memory.full_res[:, -1])
        _push(memory.actions, torch.zeros_like(memory.actions[:, -1]))

    def _enlarge(self, full_res: Tensor, frame: Tensor) -> None:
        """The upsampler's frame given the small one ``(B, C, h, w)`` and those before it."""
        assert self.upsampler is not None
        larger = enlarge(frame, self.upsampler.cfg.upsampling_factor or 1)
        context = torch.cat((full_res.flatten(1, 2), larger), dim=1)
        _push(full_res, self.upsampler.draw(self._noise, full_res[:, -1].shape, context, None))

    def _judge(self, memory: Memory, frame: Tensor) -> None:
        """Samples rewards and ends of the transition to the frame, if there is a reward/end model."""
        if self.reward_end is None or memory.state is None:
            return
        *logits, state = self.reward_end(memory.frames[:, -1:], memory.actions[:, -1:], frame[:, None], memory.state)
        reward_class, end_class = (sample_class(of_step[:, 0], self._generator) for of_step in logits)
        memory.rewards.copy_(reward_class - 1)
        memory.ends.copy_(end_class)
        for half, new in zip(memory.state, state, strict=True):
            half.copy_(new)

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self.dynamics.device)


def _push(past: Tensor, newest: Tensor) -> None:
    """Drops the oldest entry of ``(B, T, …)`` and appends the newest ``(B, …)``, in place."""
    past.copy_(torch.cat((past[:, 1:], newest[:, None]), dim=1))
