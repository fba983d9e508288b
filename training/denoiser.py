"""Trains the denoiser on segments of episodes (Section 3.1, Equation 8).

Shapes: B batch, T = context + predicted frames, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diamond_engine.diffusion import DDPM, Denoiser, Segment, SigmaDistribution, UniformSteps, denoiser_loss
from diamond_engine.episodes import PAPER_AGE_WEIGHTS, EpisodeFolder
from diamond_engine.runtime import Runtime
from training.data import SegmentStream
from training.optimisation import Ema, Metrics, Optimiser, OptimiserConfig
from training.workers import ALONE, Workers


@dataclass(frozen=True)
class DenoiserTrainingConfig:
    """How the denoiser learns; the defaults are the paper's (Table 4)."""

    batch_size: int = 32
    """Segments an update."""
    autoregressive_steps: int = 1
    """Further frames predicted after the first, each with the model's own predictions in its context."""
    sigma: SigmaDistribution = field(default_factory=SigmaDistribution)
    """Training noise levels; DDPM has its own."""
    age_weights: tuple[float, ...] = PAPER_AGE_WEIGHTS
    """Sampling weights of the episodes' age quarters, oldest first."""
    ema_decay: float = 0.0
    """Decay per update of the exponential moving average of the weights that is exported; 0 exports the raw weights."""
    motion_weight: float = 0.0
    """How many times more the error near recent motion counts; small things are learned sooner. Not in the paper."""
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """Step size, clipping, decay."""


class DenoiserTrainer:
    """One update: draw segments, denoise them at random noise levels, step."""

    def __init__(
        self,
        denoiser: Denoiser,
        folder: EpisodeFolder,
        cfg: DenoiserTrainingConfig,
        runtime: Runtime,
        seed: int,
        export: Callable[[Path, Denoiser, dict[str, Any]], None],
        on_growth: Callable[[str], None] | None = None,
        workers: Workers = ALONE,
    ) -> None:
        runtime.for_training(denoiser)
        self.denoiser = denoiser
        self.cfg = cfg
        self.runtime = runtime
        self.optimiser = Optimiser(denoiser, cfg.optimiser, runtime, workers)
        self._parts = workers.parts(cfg.batch_size)
        self._ema = Ema(denoiser, cfg.ema_decay)
        self._export = export
        length = denoiser.cfg.inner_model.num_steps_conditioning + 1 + cfg.autoregressive_steps
        self._segments = SegmentStream(folder, length, seed, age_weights=cfg.age_weights, on_growth=on_growth)
        self._noise = runtime.generator(seed)
        self._levels = UniformSteps() if denoiser.cfg.diffusion == DDPM else cfg.sigma

    def update(self) -> Metrics:
        """One gradient step."""
        losses = self._losses()
        metrics = self.optimiser.update(lambda: next(losses), len(self._parts))
        self._ema.update()
        return metrics

    def _losses(self) -> Iterator[tuple[Tensor, Metrics]]:
        """Of every part of the next batch; each draws the noise of the whole batch and takes its own."""
        cfg, device, before = self.cfg, self.runtime.device, self._noise.get_state()
        for part, batch in zip(
            self._parts, self._segments.draw_parts(cfg.batch_size, self._parts, device), strict=True
        ):
            self._noise.set_state(before)
            segment = Segment(batch.obs, batch.act, batch.is_frame, batch.mean_frames)
            noise = partial(self._draw_noise, part)
            yield denoiser_loss(self.denoiser, segment, self._levels, noise, cfg.motion_weight), {}

    def _draw_noise(self, part: slice, shape: tuple[int, ...]) -> Tensor:
        whole = (self.cfg.batch_size, *shape[1:])
        return torch.randn(whole, generator=self._noise, device=self.runtime.device)[part]

    def state_dict(self) -> dict[str, Any]:
        """Weights, average, optimiser and random states."""
        return {
            "network": self.denoiser.state_dict(),
            "ema": self._ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self._segments.state_dict(),
            "noise": self._noise.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.denoiser.load_state_dict(state["network"])
        self._ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._segments.load_state_dict(state["rng"])
        self._noise.set_state(state["noise"])

    def averaged(self) -> AbstractContextManager[None]:
        """Context in which ``denoiser`` holds the average of its weights, if one is kept."""
        return self._ema.applied()

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the (averaged) denoiser into a world folder."""
        with self.averaged():
            self._export(folder, self.denoiser, provenance)
