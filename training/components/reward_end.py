"""Trains the reward/end model on segments of episodes (Section 3.1 and Table 4).

Shapes: B batch, T transitions, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from diamond_engine.episodes import PAPER_AGE_WEIGHTS, EpisodeFolder, SegmentBatch
from diamond_engine.networks import RewardEndModel
from diamond_engine.networks.reward_end import RewardEndBatch, reward_end_loss
from diamond_engine.runtime import Runtime
from training.components.network_trainer import NetworkTrainer
from training.components.optimisation import Optimiser, OptimiserConfig
from training.data.dreamed_segments import DreamedSegments
from training.data.segments import SegmentStream
from training.runs.procedure import Metrics
from training.runs.workers import ALONE, Workers


@dataclass(frozen=True)
class RewardEndTrainingConfig:
    """Settings of the reward/end model's training; the defaults are the paper's (Table 4)."""

    batch_size: int = 32
    """Segments an update."""
    transitions: int = 19
    """Transitions T of a segment."""
    age_weights: tuple[float, ...] = PAPER_AGE_WEIGHTS
    """Sampling weights of the episodes' age quarters, oldest first."""
    event_share: float = 0.0
    """Share of segments placed over a reward or an end: these are learned sooner, but predicted too often."""
    dreamed_share: float = 0.0
    """Share of segments whose frames after the context are dreamed (see ``DreamedSegments``). Not in the paper."""
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(max_grad_norm=100.0))
    """Step size, clipping, decay."""


class RewardEndTrainer(NetworkTrainer[RewardEndModel]):
    """One update: draw segments, classify the reward and the end of every transition, step."""

    def __init__(
        self,
        network: RewardEndModel,
        folder: EpisodeFolder,
        cfg: RewardEndTrainingConfig,
        runtime: Runtime,
        seed: int,
        export: Callable[[Path, RewardEndModel, dict[str, Any]], None],
        on_growth: Callable[[str], None] | None = None,
        workers: Workers = ALONE,
        dreamed: DreamedSegments | None = None,
    ) -> None:
        """``dreamed`` replaces frames of every batch; a batch must then have only one part."""
        runtime.for_training(network)
        segments = SegmentStream(
            folder,
            cfg.transitions + 1,
            seed,
            age_weights=cfg.age_weights,
            beyond_end=True,
            event_share=cfg.event_share,
            on_growth=on_growth,
        )
        super().__init__(network, Optimiser(network, cfg.optimiser, runtime, workers), segments, export)
        self.cfg = cfg
        self.runtime = runtime
        self._parts = workers.parts(cfg.batch_size)
        self._dreamed = dreamed

    def update(self) -> Metrics:
        """One gradient step."""
        losses = self._losses()
        return self.optimiser.update(lambda: next(losses), len(self._parts))

    def _losses(self) -> Iterator[tuple[Tensor, Metrics]]:
        for segments in self._segments.draw_parts(self.cfg.batch_size, self._parts, self.runtime.device):
            seen = segments if self._dreamed is None else self._dreamed(segments)
            losses = reward_end_loss(self.network, transitions(seen))
            yield losses.total, {"loss_reward": losses.reward.detach(), "loss_end": losses.end.detach()}

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser and random states."""
        return super().state_dict() | ({} if self._dreamed is None else {"dreamed": self._dreamed.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        super().load_state_dict(state)
        if self._dreamed is not None:
            self._dreamed.load_state_dict(state["dreamed"])


def transitions(segments: SegmentBatch) -> RewardEndBatch:
    """Segments of T + 1 frames as T transitions; at an end the true final frame is what the action led to."""
    return RewardEndBatch(
        obs=segments.obs[:, :-1],
        act=segments.act[:, :-1],
        next_obs=segments.obs[:, 1:],
        rewards=segments.rewards[:, :-1],
        ends=segments.ends[:, :-1],
        mask=segments.is_step[:, :-1],
        mean_count=segments.mean_steps[:-1].sum(),
    )
