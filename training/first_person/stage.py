"""Trains one stage of a first-person world: the dynamics at low resolution, or the upsampler (Section 6, Appendix)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diamond_engine.diffusion import Denoiser, Segment, SigmaDistribution, denoiser_loss
from diamond_engine.runtime import Runtime
from training.first_person.footage import Footage, Segments
from training.optimisation import Metrics, Optimiser, OptimiserConfig

BYTES_PER_PARAMETER = 16
"""Weight, gradient and Adam's two moments."""
PAPER_SIGMA = SigmaDistribution(loc=-1.2)
PAPER_OPTIMISER = OptimiserConfig(max_grad_norm=10.0)


@dataclass(frozen=True)
class StageConfig:
    """How a stage learns; the defaults are the paper's, but for what differs between the stages."""

    batch_size: int
    """Segments in memory at once."""
    autoregressive_steps: int
    """Further frames predicted after the first, each with the model's own predictions in its context."""
    accumulation: int = 8
    """Batches an update."""
    updates: int = 600 * 400
    """Updates in all: 600 epochs of 400."""
    sigma: SigmaDistribution = field(default_factory=lambda: PAPER_SIGMA)
    """Noise levels, of the frame to predict and, where the network knows of it, of its context."""
    optimiser: OptimiserConfig = field(default_factory=lambda: PAPER_OPTIMISER)
    """Step size, clipping, decay."""


@dataclass(frozen=True)
class Cost:
    """What a training takes, reckoned from one segment."""

    memory: int
    """Bytes for weights, gradients, Adam's moments and what a batch keeps for its gradient."""
    seconds: float
    """Of an update, if its segments were computed one by one; a GPU that computes many at once needs less."""


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
    ) -> None:
        runtime.for_training(denoiser)
        self.denoiser = denoiser
        self.cfg = cfg
        self.runtime = runtime
        self.optimiser = Optimiser(denoiser, cfg.optimiser, runtime)
        self._export = export
        self.length = denoiser.cfg.inner_model.num_steps_conditioning + 1 + cfg.autoregressive_steps
        full_res = denoiser.cfg.upsampling_factor is not None
        self._segments = Segments(footage, self.length, cfg.batch_size, seed, full_res=full_res)
        self._noise = runtime.generator(seed)

    def update(self) -> Metrics:
        """One gradient step over ``accumulation`` batches."""
        return self.optimiser.update(self._loss, self.cfg.accumulation)

    def cost(self) -> Cost:
        """Measures a gradient of one segment; changes nothing."""
        segment = self._segments.draw(self.runtime.device)
        self._segments.drawn -= 1
        one = Segment(
            segment.obs[:1],
            segment.act if segment.act is None else segment.act[:1],
            segment.mask[:1],
            segment.low_res if segment.low_res is None else segment.low_res[:1],
        )
        self._gradient_of(one)  # includes what happens only once
        activations, seconds = self._gradient_of(one)
        parameters = sum(parameter.numel() for parameter in self.denoiser.parameters())
        segments = self.cfg.batch_size * self.cfg.accumulation
        return Cost(BYTES_PER_PARAMETER * parameters + self.cfg.batch_size * activations, seconds * segments)

    def _gradient_of(self, segment: Segment) -> tuple[int, float]:
        """Bytes that autograd keeps for a segment's gradient, without the weights, and the seconds it takes."""
        noise = self.runtime.generator(0)

        def draw(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=noise, device=self.runtime.device)

        kept: dict[int, int] = {}
        started = time.perf_counter()
        with _recorded(kept), self.runtime.autocast():
            loss = denoiser_loss(self.denoiser, segment, self.cfg.sigma, draw)
        loss.backward()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - started
        self.denoiser.zero_grad(set_to_none=True)
        own = {parameter.data_ptr() for parameter in self.denoiser.parameters()}
        return sum(size for place, size in kept.items() if place not in own), seconds

    def _loss(self) -> tuple[Tensor, Metrics]:
        segment = self._segments.draw(self.runtime.device)
        return denoiser_loss(self.denoiser, segment, self.cfg.sigma, self._draw_noise), {}

    def _draw_noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._noise, device=self.runtime.device)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser and random states."""
        return {
            "network": self.denoiser.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "drawn": self._segments.drawn,
            "noise": self._noise.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.denoiser.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self._segments.drawn = state["drawn"]
        self._noise.set_state(state["noise"])

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the network into a world folder."""
        self._export(folder, self.denoiser, provenance)


def _recorded(kept: dict[int, int]) -> AbstractContextManager[object]:
    """Notes the size of every piece of memory that autograd keeps, by its address."""

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    return torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
