"""Trains the tokenizer of IRIS on single frames of episodes (Micheli et al., 2023).

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from diamond_engine.episodes import EpisodeFolder
from diamond_engine.errors import UsageError
from diamond_engine.networks import Tokenizer
from diamond_engine.networks.tokenizer import tokenizer_loss
from diamond_engine.runtime import Runtime
from training.components.network_trainer import NetworkTrainer
from training.components.optimisation import Optimiser, OptimiserConfig
from training.data.segments import EVERY_STEP_ALIKE, SegmentStream
from training.runs.procedure import Metrics
from training.runs.workers import ALONE, Workers


@dataclass(frozen=True)
class TokenizerTrainingConfig:
    """How the tokenizer learns; the defaults are those of IRIS."""

    batch_size: int = 256
    """Frames an update."""
    age_weights: tuple[float, ...] = EVERY_STEP_ALIKE
    """Sampling weights of the episodes' age quarters, oldest first."""
    perceptual_weight: float = 0.0
    """Weight of the perceptual loss, where there is one: 1 in IRIS."""
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(weight_decay=0.0, warmup_steps=1, max_grad_norm=10.0)
    )
    """Step size, clipping, decay."""


Perceptual = Callable[[Tensor, Tensor], Tensor]
"""How different two batches of images ``(B, C, H, W)`` in [-1, 1] look: a scalar."""


class TokenizerTrainer(NetworkTrainer[Tokenizer]):
    """One update: draw frames, encode and decode them, step."""

    def __init__(
        self,
        network: Tokenizer,
        folder: EpisodeFolder,
        cfg: TokenizerTrainingConfig,
        runtime: Runtime,
        seed: int,
        export: Callable[[Path, Tokenizer, dict[str, Any]], None],
        on_growth: Callable[[str], None] | None = None,
        workers: Workers = ALONE,
        perceptual: Perceptual | None = None,
    ) -> None:
        """``perceptual`` is added to the loss by its weight.

        Raises ``UsageError`` for more than one process or part.
        """
        check_whole(cfg.batch_size, workers)
        runtime.for_training(network)
        frames = SegmentStream(folder, 1, seed, age_weights=cfg.age_weights, on_growth=on_growth)
        super().__init__(network, Optimiser(network, cfg.optimiser, runtime), frames, export)
        self.cfg = cfg
        self.runtime = runtime
        self._perceptual = perceptual

    def update(self) -> Metrics:
        """One gradient step."""
        return self.optimiser.update(self._loss)

    def _loss(self) -> tuple[Tensor, Metrics]:
        images = self._segments.draw(self.cfg.batch_size, self.runtime.device).obs[:, 0]
        losses, reconstructed = tokenizer_loss(self.network, images)
        metrics = {
            "loss_reconstruction": losses.reconstruction.detach(),
            "loss_commitment": losses.commitment.detach(),
        }
        if self._perceptual is None:
            return losses.total, metrics
        perceptual = self._perceptual(images, reconstructed)
        return losses.total + self.cfg.perceptual_weight * perceptual, {
            **metrics,
            "loss_perceptual": perceptual.detach(),
        }


def check_whole(batch_size: int, workers: Workers) -> None:
    """Raises ``UsageError`` where a batch is to be learned from in parts."""
    if len(workers.parts(batch_size)) * workers.count > 1:
        raise UsageError("a world of IRIS learns in one process, from whole batches")
