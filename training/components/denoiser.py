"""Trains the denoiser on segments of episodes (Section 3.1, Equation 8).

Shapes: B batch, T = context + predicted frames, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diamond_engine.diffusion import (
    DDPM,
    Denoiser,
    DenoiserConfig,
    SamplerConfig,
    Segment,
    SigmaDistribution,
    UniformSteps,
    denoiser_loss,
)
from diamond_engine.diffusion.levels import NoiseLevels, sampler_levels
from diamond_engine.episodes import PAPER_AGE_WEIGHTS, EpisodeFolder, SegmentBatch
from diamond_engine.errors import UsageError
from diamond_engine.networks import InnerModelConfig
from diamond_engine.runtime import Runtime
from training.components.crops import crop_to_motion
from training.components.level_weights import LevelWeights
from training.components.optimisation import Ema, Optimiser, OptimiserConfig
from training.data.priorities import Priorities
from training.data.segments import SegmentStream
from training.runs.procedure import Metrics
from training.runs.workers import ALONE, Workers


@dataclass(frozen=True)
class DenoiserTrainingConfig:
    """Settings of the denoiser's training; the defaults are the paper's (Table 4)."""

    batch_size: int = 32
    """Segments an update."""
    autoregressive_steps: int = 1
    """Further frames predicted after the first, each with the model's own predictions in its context."""
    context_error: float = 0.0
    """Largest error, in [-1, 1], of a pixel that these predictions show in the context; 0: any. Not in the paper."""
    sigma: SigmaDistribution = field(default_factory=SigmaDistribution)
    """Training noise levels; DDPM has its own."""
    age_weights: tuple[float, ...] = PAPER_AGE_WEIGHTS
    """Sampling weights of the episodes' age quarters, oldest first."""
    ema_decay: float = 0.0
    """Decay per update of the exponential moving average of the weights that is exported; 0 exports the raw weights."""
    motion_weight: float = 0.0
    """Extra weight of errors near recent motion: small objects are learned sooner. Not in the paper."""
    sampler_share: float = 0.0
    """Share of noise levels taken from the sampler. Not in the paper."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """The sampler of these levels."""
    first_share: float = 0.75
    """Share of the sampler's first level among these; a sampler of one step has no other."""
    balanced: bool = False
    """Whether the loss at a noise level is divided by its running mean (see ``LevelWeights``). Not in the paper."""
    priority_share: float = 0.0
    """Share of segments drawn by priority (the model's newest error near motion). Not in the paper."""
    scan: int = 0
    """Frames an update that are predicted without learning, until all have a priority. Not in the paper."""
    crop_size: int = 0
    """Side of the crop around motion that most updates use; 0: whole frames. Not in the paper."""
    whole_share: float = 0.15
    """With crops: share of updates that use whole frames, of fewer segments."""
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """Step size, clipping, decay."""

    @property
    def first_level_alone(self) -> bool:
        """Whether only the sampler's first noise level is learned: one denoising step is all that it can draw with."""
        return self.sampler_share == 1 and self.first_share == 1


def check_fits(cfg: DenoiserTrainingConfig, denoiser: DenoiserConfig, parts: int) -> None:
    """Raises ``UsageError`` for settings that contradict each other or a denoiser, and for ``parts`` of a batch, which
    crops and priorities do not support."""
    if cfg.context_error < 0:
        raise UsageError(f"the error of a context (--context-error) must be at least 0, not {cfg.context_error}")
    if cfg.scan > 0 and cfg.priority_share == 0:
        raise UsageError("a scan (--scan) is for drawing segments by priority (--priority-share)")
    if cfg.priority_share > 0 and cfg.sampler_share == 0:
        raise UsageError("drawing segments by priority needs a share of noise levels of the sampler (--sampler-share)")
    if cfg.sampler_share > 0 and denoiser.diffusion == DDPM:
        raise UsageError("ddpm has noise levels of its own: --sampler-share is for edm")
    if cfg.crop_size % crop_grid(denoiser.inner_model):
        raise UsageError(f"the side of a crop (--crop) is a multiple of {crop_grid(denoiser.inner_model)}")
    if parts > 1 and (cfg.priority_share > 0 or cfg.crop_size > 0 or cfg.balanced):
        raise UsageError("--priority-share, --balance and --crop are for one process and whole batches")


def crop_grid(inner: InnerModelConfig) -> int:
    """Pixels per position at the deepest level of the U-Net."""
    return inner.patch_size * 2 ** (len(inner.channels) - 1)


def _noise_levels(cfg: DenoiserTrainingConfig, denoiser: DenoiserConfig) -> NoiseLevels:
    if denoiser.diffusion == DDPM:
        return UniformSteps()
    return sampler_levels(cfg.sampler_share, cfg.first_share, cfg.sigma, cfg.sampler)


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
        check_fits(cfg, denoiser.cfg, len(self._parts) * workers.count)
        self._ema = Ema(denoiser, cfg.ema_decay)
        self._export = export
        self._context_length = denoiser.cfg.inner_model.num_steps_conditioning
        predicted = 1 + cfg.autoregressive_steps
        before_start = not denoiser.cfg.about_newest  # with ``about_newest`` the context must not be padding
        self._priorities = (
            Priorities(folder, self._context_length, predicted, before_start=before_start)
            if cfg.priority_share > 0
            else None
        )
        self._segments = SegmentStream(
            folder,
            self._context_length + predicted,
            seed,
            age_weights=cfg.age_weights,
            before_start=before_start,
            priorities=self._priorities,
            priority_share=cfg.priority_share,
            on_growth=on_growth,
        )
        self._noise = runtime.generator(seed)
        self._levels = _noise_levels(cfg, denoiser.cfg)
        self._weights = LevelWeights() if cfg.balanced else None

    def update(self) -> Metrics:
        """One gradient step."""
        losses = self._losses()
        metrics = self.optimiser.update(lambda: next(losses), len(self._parts))
        self._ema.update()
        self._scan()
        return metrics

    @torch.no_grad()
    def _scan(self) -> None:
        """Predicts frames whose error is not known, so that large errors are found in data seldom drawn."""
        batch, priorities = self._segments.unknown(self.cfg.scan, self.runtime.device), self._priorities
        if batch is None or priorities is None:
            return
        first = sampler_levels(1.0, 1.0, self.cfg.sigma, self.cfg.sampler)
        segment = Segment(batch.obs, batch.act, batch.is_frame)
        with self.runtime.autocast():
            if self.cfg.crop_size > 0:
                segment = self._cropped(segment)
            note = partial(priorities.note, first, batch.places)
            denoiser_loss(self.denoiser, segment, first, self._draw_unshared_noise, errors=note)

    def _losses(self) -> Iterator[tuple[Tensor, Metrics]]:
        """The losses of all parts of the next batch. Each part draws the noise of the whole batch and uses its own."""
        cfg, device, before = self.cfg, self.runtime.device, self._noise.get_state()
        for part, batch in zip(
            self._parts, self._segments.draw_parts(cfg.batch_size, self._parts, device), strict=True
        ):
            self._noise.set_state(before)
            segment, noise = self._seen(batch), partial(self._draw_noise, part)
            if cfg.crop_size > 0:  # there is only one part
                noise = self._draw_unshared_noise
            priorities = self._priorities
            errors = None if priorities is None else partial(priorities.note, self._levels, batch.places)
            loss = denoiser_loss(
                self.denoiser,
                segment,
                self._levels,
                noise,
                cfg.motion_weight,
                errors=errors,
                weigh=self._weights,
                context_error=cfg.context_error,
            )
            yield loss, {}

    def _seen(self, batch: SegmentBatch) -> Segment:
        """Selects what an update uses of a batch: all, a crop of every segment, or fewer segments at the same cost."""
        segment, size = Segment(batch.obs, batch.act, batch.is_frame, batch.mean_frames), self.cfg.crop_size
        if size == 0:
            return segment
        if torch.rand((), generator=self._noise, device=self.runtime.device) >= self.cfg.whole_share:
            return self._cropped(replace(segment, mean_count=None))
        height, width = batch.obs.shape[-2:]
        count = max(1, len(batch.obs) * size**2 // (height * width))
        return Segment(batch.obs[:count], batch.act[:count], batch.is_frame[:count])

    def _cropped(self, segment: Segment) -> Segment:
        middle = self._context_length - 1 + self.cfg.autoregressive_steps // 2
        grid = crop_grid(self.denoiser.cfg.inner_model)
        return crop_to_motion(segment, self.cfg.crop_size, grid, middle, self._noise)

    def _draw_noise(self, part: slice, shape: tuple[int, ...]) -> Tensor:
        return self._draw_unshared_noise((self.cfg.batch_size, *shape[1:]))[part]

    def _draw_unshared_noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._noise, device=self.runtime.device)

    def state_dict(self) -> dict[str, Any]:
        """Weights, average, optimiser and random states."""
        return {
            "network": self.denoiser.state_dict(),
            "ema": self._ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self._segments.state_dict(),
            "noise": self._noise.get_state(),
            **({} if self._priorities is None else {"priorities": self._priorities.state_dict()}),
            **({} if self._weights is None else {"level_weights": self._weights.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.denoiser.load_state_dict(state["network"])
        self._ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._segments.load_state_dict(state["rng"])
        self._noise.set_state(state["noise"])
        if self._priorities is not None:
            self._priorities.load_state_dict(state["priorities"])
        if self._weights is not None:
            self._weights.load_state_dict(state["level_weights"])

    def averaged(self) -> AbstractContextManager[None]:
        """Context in which ``denoiser`` has its averaged weights, if there is an average."""
        return self._ema.applied()

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the (averaged) denoiser into a world folder."""
        with self.averaged():
            self._export(folder, self.denoiser, provenance)
