"""Trains a world of IRIS: its tokenizer, then the transformer on its tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from diamond_engine.checkpoints import built, read_component
from diamond_engine.errors import UsageError
from diamond_engine.games import Game
from diamond_engine.networks import Tokenizer, TokenTransformer
from diamond_engine.token_worlds import TokenWorldConfig, iris_world_config
from diamond_engine.world_model import WorldConfig
from training.algorithm.world_model import Component, ComponentTrainer, WorldModelTraining
from training.components.token_transformer import TransformerTrainer, TransformerTrainingConfig
from training.components.tokenizer import Perceptual, TokenizerTrainer, TokenizerTrainingConfig

IRIS_SIZES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "paper": ({}, {}),
    "small": (
        {"channels": 32, "multipliers": (1, 1, 2, 2, 2), "res_blocks": 1, "latent_channels": 128, "code_size": 128},
        {"layers": 6, "width": 192},
    ),
}
"""Sizes by name: what differs from the published tokenizer and transformer. ``small`` is for CPUs."""


def iris_architecture(game: Game, size: str) -> TokenWorldConfig:
    """The networks of IRIS for a game, at a size of ``IRIS_SIZES``."""
    published = iris_world_config(game)
    tokenizer, transformer = IRIS_SIZES[size]
    return replace(
        published,
        tokenizer=replace(published.tokenizer, **tokenizer),
        transformer=replace(published.transformer, **transformer),
    )


@dataclass(frozen=True)
class IrisTraining(WorldModelTraining):
    """``WorldModelTraining`` of IRIS. A world needs both its networks."""

    names: ClassVar[tuple[str, ...]] = ("tokenizer", "transformer")
    needed: ClassVar[tuple[str, ...]] = ("tokenizer", "transformer")

    architecture: TokenWorldConfig
    perceptual: Perceptual | None = None
    """Part of the tokenizer's loss, where there is one."""

    def trainer(self, component: Component) -> ComponentTrainer:
        """See ``WorldModelTraining.trainer``. Raises ``UsageError`` for a transformer without a tokenizer."""
        folder, runtime, seed = self.data.episodes, self.session.runtime, self.session.seed
        export, workers, on_growth = self.exporter(component.name), self.session.workers, self.on_growth
        if isinstance(component.config, TokenizerTrainingConfig):
            tokenizer = Tokenizer(self.architecture.tokenizer)
            self.prepare(tokenizer, "tokenizer", tokenizer.decoder)
            return TokenizerTrainer(
                tokenizer, folder, component.config, runtime, seed, export, on_growth, workers, self.perceptual
            )
        assert isinstance(component.config, TransformerTrainingConfig)
        transformer = TokenTransformer(self.architecture.transformer)
        self.prepare(transformer, "transformer", transformer.transformer)
        trained = self._trained_tokenizer()
        return TransformerTrainer(
            transformer, trained, folder, component.config, runtime, seed, export, on_growth, workers
        )

    def _trained_tokenizer(self) -> Tokenizer:
        path = self.session.out / "world" / "tokenizer.safetensors"
        if not path.exists():
            raise UsageError("the transformer learns a tokenizer's tokens: train one first (--components tokenizer)")
        states = {"tokenizer": read_component(path)}
        return built(Tokenizer, self.architecture.tokenizer, "tokenizer", states, str(path))

    def described(self, folder: Path, provenance: dict[str, Any]) -> WorldConfig:
        """See ``WorldModelTraining.described``."""
        return replace(self.architecture, provenance=provenance)
