"""Trains one stage of a first-person world: the dynamics at low resolution, or the upsampler (Section 6, Appendix)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diamond_engine.diffusion import Denoiser, Segment, SigmaDistribution, denoiser_loss
from diamond_engine.diffusion.denoiser import Errors, Weigh
from diamond_engine.diffusion.levels import sampler_levels
from diamond_engine.diffusion.sampler import Noise
from diamond_engine.errors import UsageError
from diamond_engine.runtime import Runtime
from training.components.level_weights import LevelWeights
from training.components.optimisation import Ema, Optimiser, OptimiserConfig
from training.data.priorities import Priorities
from training.first_person.footage import Footage, Segments, TrainedOn
from training.runs.procedure import Metrics
from training.runs.seeds import derived_seed
from training.runs.workers import ALONE, Workers

BYTES_PER_PARAMETER = 16
"""Weight, gradient and Adam's two moments."""
PAPER_SIGMA = SigmaDistribution(loc=-1.2)
PAPER_OPTIMISER = OptimiserConfig(max_grad_norm=10.0)


@dataclass(frozen=True)
class StageConfig:
    """Settings of a stage's training; the defaults are the paper's, except those that differ between stages."""

    batch_size: int
    """Segments in memory at once."""
    autoregressive_steps: int
    """Further frames predicted after the first, each with the model's own predictions in its context."""
    accumulation: int = 8
    """Batches an update."""
    updates: int = 600 * 400
    """Updates in all: 600 epochs of 400."""
    sigma: SigmaDistribution = field(default_factory=lambda: PAPER_SIGMA)
    """Noise levels of the frame to predict and, if the network has an input for it, of its context."""
    context_noise_mean: float | None = None
    """Mean of ln σ of the context's noise, if it differs from the frame's."""
    sampler_share: float = 0.0
    """Share of the frame's noise levels taken from the sampler. Not in the paper."""
    first_share: float = 0.75
    """Share of the sampler's first level among these; a sampler of one step has no other."""
    balanced: bool = False
    """Whether the loss at a noise level is divided by its running mean (see ``LevelWeights``). Not in the paper."""
    priority_share: float = 0.0
    """Share of segments drawn by priority (the model's newest error near motion). Not in the paper."""
    optimiser: OptimiserConfig = field(default_factory=lambda: PAPER_OPTIMISER)
    """Step size, clipping, decay."""
    ema_decay: float = 0.0
    """Decay per update of the exponential moving average of the weights that is exported; 0 exports the raw weights."""

    def share(self, workers: Workers) -> int:
        """Batches of an update for each of several processes.

        Raises ``UsageError`` if they cannot be split evenly or the settings allow only one process.
        """
        if workers.count > 1 and (self.balanced or self.priority_share > 0):
            raise UsageError("balanced and priority_share are for one process")
        if self.accumulation % workers.count:
            raise UsageError(
                f"{self.accumulation} batches an update cannot be shared evenly by {workers.count} processes: set "
                "accumulation to a multiple of that, and batch_size such that their product stays"
            )
        return self.accumulation // workers.count


@dataclass(frozen=True)
class Cost:
    """Estimated memory and time of a training, from one segment."""

    memory: int
    """Bytes for weights, gradients, Adam's moments and the activations of a batch."""
    seconds: float
    """Seconds of an update if its segments are computed one by one; a GPU that computes many at once needs less."""


class StageTrainer:
    """One update: draw segments, denoise them at random noise levels, as often as gradients are accumulated, step."""

    def __init__(
        self,
        denoiser: Denoiser,
        footage: Footage,
        cfg: StageConfig,
        runtime: Runtime,
        seed: int,
        export: Callable[[Path, Denoiser, dict[str, Any]], None],
        workers: Workers = ALONE,
    ) -> None:
        """Several ``workers`` take turns with the batches of an update: see ``StageConfig.share``."""
        runtime.for_training(denoiser)
        self.denoiser = denoiser
        self.cfg = cfg
        self.runtime = runtime
        self.optimiser = Optimiser(denoiser, cfg.optimiser, runtime, workers)
        self._ema = Ema(denoiser, cfg.ema_decay)
        self._workers = workers
        self._export = export
        context = denoiser.cfg.inner_model.num_steps_conditioning
        self.length = context + 1 + cfg.autoregressive_steps
        self._levels = sampler_levels(cfg.sampler_share, cfg.first_share, cfg.sigma)
        self._weights = LevelWeights() if cfg.balanced else None
        self._priorities = (
            Priorities(TrainedOn(footage, self.length), context, before_start=False) if cfg.priority_share > 0 else None
        )
        self._segments = Segments(
            footage,
            self.length,
            cfg.batch_size,
            seed,
            full_res=denoiser.cfg.upsampling_factor is not None,
            workers=workers,
            priorities=self._priorities,
            priority_share=cfg.priority_share,
        )
        self._seed = seed

    def update(self) -> Metrics:
        """One gradient step over ``accumulation`` batches."""
        metrics = self.optimiser.update(self._loss, self.cfg.share(self._workers))
        self._ema.update()
        return metrics

    def cost(self) -> Cost:
        """Measures a gradient of one segment; changes nothing."""
        before = self._segments.drawn
        segment = self._segments.draw(self.runtime.device)
        self._segments.drawn = before
        one = Segment(
            segment.obs[:1],
            segment.act if segment.act is None else segment.act[:1],
            segment.mask[:1],
            low_res=segment.low_res if segment.low_res is None else segment.low_res[:1],
        )
        self._gradient_of(one)  # includes one-time work
        activations, seconds = self._gradient_of(one)
        parameters = sum(parameter.numel() for parameter in self.denoiser.parameters())
        segments = self.cfg.batch_size * self.cfg.accumulation
        return Cost(BYTES_PER_PARAMETER * parameters + self.cfg.batch_size * activations, seconds * segments)

    def _gradient_of(self, segment: Segment) -> tuple[int, float]:
        """Bytes that autograd keeps for a segment's gradient, without the weights, and the seconds it takes."""
        kept: dict[int, int] = {}
        started = time.perf_counter()
        with _recorded(kept), self.runtime.autocast():
            loss = self._denoiser_loss(segment, self._noise_of(0))
        loss.backward()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - started
        self.denoiser.zero_grad(set_to_none=True)
        own = {parameter.data_ptr() for parameter in self.denoiser.parameters()}
        return sum(size for place, size in kept.items() if place not in own), seconds

    def _loss(self) -> tuple[Tensor, Metrics]:
        noise = self._noise_of(self._segments.next)
        segment = self._segments.draw(self.runtime.device)
        priorities = self._priorities
        errors = None if priorities is None else partial(priorities.note, self._levels, self._segments.places)
        return self._denoiser_loss(segment, noise, errors, self._weights), {}

    def _denoiser_loss(
        self, segment: Segment, noise: Noise, errors: Errors | None = None, weigh: Weigh | None = None
    ) -> Tensor:
        mean = self.cfg.context_noise_mean
        of_context = self.cfg.sigma if mean is None else replace(self.cfg.sigma, loc=mean)
        return denoiser_loss(
            self.denoiser,
            segment,
            self._levels,
            noise,
            context_distribution=of_context,
            errors=errors,
            weigh=weigh,
        )

    def _noise_of(self, batch: int) -> Callable[[tuple[int, ...]], Tensor]:
        """A source of noise that depends only on the number of the batch, not on the process."""
        generator = self.runtime.generator(derived_seed(self._seed, f"noise of batch {batch}"))
        return lambda shape: torch.randn(shape, generator=generator, device=self.runtime.device)

    def state_dict(self) -> dict[str, Any]:
        """Weights, average, optimiser, noted errors, and the number of batches drawn, which determines all noise."""
        return {
            "network": self.denoiser.state_dict(),
            "ema": self._ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "drawn": self._segments.drawn,
            **({} if self._priorities is None else {"priorities": self._priorities.state_dict()}),
            **({} if self._weights is None else {"level_weights": self._weights.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.denoiser.load_state_dict(state["network"])
        self._ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._segments.drawn = state["drawn"]
        if self._priorities is not None:
            self._priorities.load_state_dict(state["priorities"])
        if self._weights is not None:
            self._weights.load_state_dict(state["level_weights"])

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the (averaged) network into a world folder."""
        with self._ema.applied():
            self._export(folder, self.denoiser, provenance)


def _recorded(kept: dict[int, int]) -> AbstractContextManager[object]:
    """Notes the size of every tensor that autograd keeps, by its address."""

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    return torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
