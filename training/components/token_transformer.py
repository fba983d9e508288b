"""Trains the transformer of IRIS on segments of episodes, tokenised (Micheli et al., 2023).

Shapes: B batch, S steps of a segment, T steps of an episode, K tokens a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diamond_engine.episodes import EpisodeFolder, SegmentBatch
from diamond_engine.frames import from_numpy
from diamond_engine.networks import Tokenizer, TokenTransformer
from diamond_engine.networks.token_transformer import TokenBatch, token_loss
from diamond_engine.runtime import Runtime
from training.components.network_trainer import NetworkTrainer
from training.components.optimisation import Optimiser, OptimiserConfig
from training.components.tokenizer import check_whole
from training.data.segments import EVERY_STEP_ALIKE, SegmentStream
from training.runs.procedure import Metrics
from training.runs.seeds import derived_seed
from training.runs.workers import ALONE, Workers

FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class TransformerTrainingConfig:
    """How the transformer learns; the defaults are those of IRIS."""

    batch_size: int = 64
    """Segments an update, each of as many steps as the transformer sees."""
    age_weights: tuple[float, ...] = EVERY_STEP_ALIKE
    """Sampling weights of the episodes' age quarters, oldest first."""
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(warmup_steps=1, max_grad_norm=10.0))
    """Step size, clipping, decay."""


class EpisodeTokens:
    """The tokens of all frames of a folder's episodes, each tokenised when it is first asked for."""

    def __init__(self, tokenizer: Tokenizer, folder: EpisodeFolder, runtime: Runtime) -> None:
        self._tokenizer = runtime.for_inference(tokenizer)
        self._folder = folder
        self._device = runtime.device
        self._known: dict[int, Tensor] = {}

    def of(self, segments: SegmentBatch) -> Tensor:
        """Tokens int64 ``(B, S, K)`` of the segments' frames, 0 where padded."""
        steps = segments.act.shape[1]
        rows: list[Tensor] = []
        for (index, start), is_frame in zip(segments.places.tolist(), segments.is_frame, strict=True):
            tokens = self._of_episode(index)
            places = torch.arange(start, start + steps, device=self._device).clamp(0, len(tokens) - 1)
            rows.append(tokens[places] * is_frame[:, None])
        return torch.stack(rows)

    @torch.no_grad()
    def _of_episode(self, index: int) -> Tensor:
        """Tokens ``(T + 1, K)``, the final frame's last."""
        if index not in self._known:
            episode = self._folder[index]
            parts = [episode.frames[i : i + FRAMES_AT_ONCE] for i in range(0, len(episode), FRAMES_AT_ONCE)]
            frames = (from_numpy(part, self._device) for part in (*parts, episode.final_frame[None]))
            self._known[index] = torch.cat([self._tokenizer.encode(part).tokens for part in frames])
        return self._known[index]


class TransformerTrainer(NetworkTrainer[TokenTransformer]):
    """One update: draw segments, foretell their tokens, rewards and ends, step."""

    def __init__(
        self,
        network: TokenTransformer,
        tokenizer: Tokenizer,
        folder: EpisodeFolder,
        cfg: TransformerTrainingConfig,
        runtime: Runtime,
        seed: int,
        export: Callable[[Path, TokenTransformer, dict[str, Any]], None],
        on_growth: Callable[[str], None] | None = None,
        workers: Workers = ALONE,
    ) -> None:
        """``tokenizer`` stays as it is. Raises ``UsageError`` for more than one process or part."""
        check_whole(cfg.batch_size, workers)
        runtime.for_training(network)
        segments = SegmentStream(
            folder,
            network.cfg.max_blocks,
            seed,
            age_weights=cfg.age_weights,
            beyond_end=True,
            before_start=False,
            on_growth=on_growth,
        )
        super().__init__(network, Optimiser(network, cfg.optimiser, runtime), segments, export)
        self.cfg = cfg
        self.runtime = runtime
        self._seed = seed
        self._tokens = EpisodeTokens(tokenizer, folder, runtime)

    def update(self) -> Metrics:
        """One gradient step."""
        torch.manual_seed(derived_seed(self._seed, "dropout", self.optimiser.updates))
        self.network.train()
        return self.optimiser.update(self._loss)

    def _loss(self) -> tuple[Tensor, Metrics]:
        segments = self._segments.draw(self.cfg.batch_size, self.runtime.device)
        tokens = self._tokens.of(segments)
        batch = TokenBatch(
            tokens, segments.act, segments.rewards, segments.ends, segments.is_step, is_frame=segments.is_frame
        )
        losses = token_loss(self.network, batch)
        parts = {"loss_tokens": losses.tokens, "loss_reward": losses.reward, "loss_end": losses.end}
        return losses.total, {name: loss.detach() for name, loss in parts.items()}
