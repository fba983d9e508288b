"""A step of dreams that are drawn by diffusion, without arguments and in place, so that it can be recorded.

Shapes: B dreams, L context length, K full-resolution frames, C channels, A entries of an action vector, H height, W
width (h, w before upsampling).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diamond_engine.class_sampling import Source, normal, sample_class
from diamond_engine.contexts import StartContexts
from diamond_engine.diffusion.denoiser import enlarge
from diamond_engine.errors import DiamondError
from diamond_engine.frames import from_numpy
from diamond_engine.networks.reward_end import LSTMState, RewardEndModel
from diamond_engine.runtime.frame_step import Memory, OnStage, push
from diamond_engine.runtime.frames import FrameDenoiser


@dataclass(frozen=True)
class DiffusionMemory(Memory):
    """``Memory`` and what the upsampler and the reward/end model remember."""

    full_res: Tensor | None
    """The newest frames of the upsampler, if there is one, ``(B, K, C, H, W)``."""
    state: LSTMState | None
    """Of the reward/end model, if there is one."""

    @property
    def tensors(self) -> list[Tensor]:
        """See ``Memory.tensors``."""
        optional = [] if self.full_res is None else [self.full_res]
        return [*super().tensors, *optional, *(self.state or ())]

    @property
    def shown(self) -> Tensor:
        """See ``Memory.shown``."""
        return (self.frames if self.full_res is None else self.full_res)[:, -1]

    @property
    def low_res(self) -> Tensor | None:
        """See ``Memory.low_res``."""
        return None if self.full_res is None else self.frames[:, -1]

    def begin(self, where: Tensor, start: DiffusionMemory) -> None:
        """See ``Memory.begin``."""
        super().begin(where, start)
        if self.full_res is not None and start.full_res is not None:
            self.full_res[where] = start.full_res
        for half, other in zip(self.state or (), start.state or (), strict=True):
            half[:, where] = other


class DiffusionStep:
    """Draws and judges the next frame of every dream: a ``FrameStep``. Nothing in ``draw`` waits for the device."""

    recordable = True

    def __init__(
        self,
        dynamics: FrameDenoiser,
        upsampler: FrameDenoiser | None,
        reward_end: RewardEndModel | None,
        source: Source,
        on_stage: OnStage,
    ) -> None:
        """``source`` is that of all noise; ``on_stage`` is told of every stage."""
        self.dynamics, self.upsampler, self.reward_end = dynamics, upsampler, reward_end
        self._source, self._on_stage = source, on_stage

    def begin(self, start: StartContexts) -> DiffusionMemory:
        """See ``FrameStep.begin``. Raises ``DiamondError`` where the upsampler has nothing to start from."""
        device = self.dynamics.device
        frames, full_res = from_numpy(start.frames, device), None
        if self.upsampler is not None:
            if start.full_res is None:
                raise DiamondError("a world with an upsampler starts from contexts with full-resolution frames only")
            full_res = from_numpy(start.full_res, device)
        between = torch.as_tensor(np.ascontiguousarray(start.actions))  # no float64 for MPS
        between = between.to(torch.float32 if between.ndim == 3 else torch.int64).to(device)
        actions = torch.cat((between, between.new_zeros((len(between), 1, *between.shape[2:]))), dim=1)
        rewards = torch.zeros(len(frames), device=device)
        return DiffusionMemory(frames, actions, rewards, rewards.bool(), full_res, self._warm(frames, between))

    def _warm(self, frames: Tensor, between: Tensor) -> LSTMState | None:
        """The reward/end model's state after the context."""
        if self.reward_end is None:
            return None
        return self.reward_end(frames[:, :-1], between, frames[:, 1:])[2]

    def draw(self, memory: DiffusionMemory) -> None:
        """See ``FrameStep.draw``."""
        frame = self.dynamics.draw(self._noise, memory.frames[:, -1].shape, memory.frames.flatten(1, 2), memory.actions)
        self._on_stage("dynamics", frame)
        self._judge(memory, frame)
        push(memory.frames, frame)
        if memory.full_res is not None:
            self._enlarge(memory.full_res, frame)
            self._on_stage("upsampler", memory.full_res[:, -1])
        push(memory.actions, torch.zeros_like(memory.actions[:, -1]))

    def _enlarge(self, full_res: Tensor, frame: Tensor) -> None:
        """The upsampler's frame given the small one ``(B, C, h, w)`` and those before it."""
        assert self.upsampler is not None
        larger = enlarge(frame, self.upsampler.cfg.upsampling_factor or 1)
        context = torch.cat((full_res.flatten(1, 2), larger), dim=1)
        push(full_res, self.upsampler.draw(self._noise, full_res[:, -1].shape, context, None))

    def _judge(self, memory: DiffusionMemory, frame: Tensor) -> None:
        """Samples rewards and ends of the transition to the frame; none without a reward/end model."""
        if self.reward_end is None or memory.state is None:
            return
        *logits, state = self.reward_end(memory.frames[:, -1:], memory.actions[:, -1:], frame[:, None], memory.state)
        reward_class, end_class = (sample_class(of_step[:, 0], self._source) for of_step in logits)
        memory.rewards.copy_(reward_class - 1)
        memory.ends.copy_(end_class)
        for half, new in zip(memory.state, state, strict=True):
            half.copy_(new)

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return normal(shape, self._source, self.dynamics.device)
