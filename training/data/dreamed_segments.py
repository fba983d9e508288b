"""Segments with frames dreamed under the real actions: the reward/end model sees dreams in play.

Shapes: B segments, S steps, L context length, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diamond_engine.diffusion import Denoiser, SamplerConfig
from diamond_engine.episodes import SegmentBatch
from diamond_engine.runtime import Runtime


class DreamedSegments:
    """Replaces the frames after the context by dreams in a share of the segments. Rewards and ends stay real.

    Long dreams often differ from the real frames and their labels: use short segments.
    """

    def __init__(self, denoiser: Denoiser, sampler: SamplerConfig, share: float, runtime: Runtime, seed: int) -> None:
        self._runtime = runtime
        self._frames = runtime.for_frames(denoiser, sampler)
        self._length = denoiser.cfg.inner_model.num_steps_conditioning
        self._share = share
        self._generator = runtime.generator(seed)

    @torch.no_grad()
    def __call__(self, batch: SegmentBatch) -> SegmentBatch:
        """Dreams on in the first segments, up to the share, that have a real context; obs ``(B, S, C, H, W)``."""
        count = round(self._share * len(batch.obs))
        rows = torch.nonzero(batch.is_frame[:count, : self._length].all(dim=1))[:, 0]
        if len(rows) == 0 or batch.obs.shape[1] <= self._length:
            return batch
        obs = batch.obs.clone()
        obs[rows] = self._dreamed(batch.obs[rows], batch.act[rows]) * batch.is_frame[rows, :, None, None, None]
        return replace(batch, obs=obs)

    def _dreamed(self, obs: Tensor, act: Tensor) -> Tensor:
        frames = list(obs[:, : self._length].unbind(1))
        for step in range(self._length, obs.shape[1]):
            context = torch.cat(frames[-self._length :], dim=1)
            taken = act[:, step - self._length : step]
            with self._runtime.without_autocast():
                frames.append(self._frames.draw(self._noise, frames[0].shape, context, taken))
        return torch.stack(frames, dim=1)

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self._frames.device)

    def state_dict(self) -> dict[str, Any]:
        """The random state."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self._generator.set_state(state["generator"])
