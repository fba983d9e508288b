"""Trains a world of DIAMOND: its denoiser and its reward/end model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from diamond_engine.diffusion import DDPM, EDM, Denoiser, SamplerConfig
from diamond_engine.errors import UsageError
from diamond_engine.games import Game
from diamond_engine.networks import RewardEndModel
from diamond_engine.world_model import World, WorldConfig
from diamond_engine.worlds import (
    DiffusionPreset,
    DiffusionWorld,
    DiffusionWorldConfig,
    as_ddpm,
    of_diffusion,
    paper_config,
)
from training.algorithm.world_model import Component, ComponentTrainer, WorldModelTraining
from training.components.denoiser import DenoiserTrainer, DenoiserTrainingConfig
from training.components.reward_end import RewardEndTrainer, RewardEndTrainingConfig
from training.data.dreamed_segments import DreamedSegments
from training.runs.seeds import derived_seed

REWARD_END_SIZES: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {"lstm_dim": 256, "cond_channels": 16, "channels": (8, 16, 32, 64), "pooled": True},
}
"""Sizes of the reward/end model, as differences from the paper's. ``small`` is 8 times as fast on a CPU."""
DENOISER_SIZES: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {
        "patch_size": 2,
        "depths": (2, 2, 2),
        "channels": (64, 64, 96),
        "attn_depths": (False, False, False),
    },
}
"""Sizes of the denoiser, as differences from the paper's. ``small`` is for CPUs."""
SIGMA_CHANGE = 0.1
"""σ_data of the change between two frames: most pixels do not change."""
SMALL_SAMPLER = SamplerConfig(sigma_min=0.2)
"""Noise levels of the small denoiser: at these it must decide where a ball of a few pixels is."""


def world_architecture(
    game: Game, reward_end_size: str, diffusion: str = EDM, denoiser_size: str = "paper"
) -> DiffusionWorldConfig:
    """The paper's networks for a game, at sizes of ``REWARD_END_SIZES`` and ``DENOISER_SIZES``."""
    paper = paper_config(game)
    config = as_ddpm(paper) if diffusion == DDPM else paper
    assert config.reward_end is not None
    inner = replace(config.denoiser.inner_model, **DENOISER_SIZES[denoiser_size])
    denoiser, presets = replace(config.denoiser, inner_model=inner), config.presets
    if denoiser_size != "paper" and diffusion == EDM:
        denoiser = replace(denoiser, about_newest=True, sigma_data=SIGMA_CHANGE, sigma_offset_noise=0.0)
        quality = DiffusionPreset(dynamics=SMALL_SAMPLER)
        presets = {"quality": quality, "fast": quality.with_steps(1)}
    return replace(
        config,
        denoiser=denoiser,
        presets=presets,
        reward_end=replace(config.reward_end, **REWARD_END_SIZES[reward_end_size]),
    )


@dataclass(frozen=True)
class DiamondTraining(WorldModelTraining):
    """``WorldModelTraining`` of DIAMOND. A world starts with its denoiser."""

    names: ClassVar[tuple[str, ...]] = ("denoiser", "reward_end")
    needed: ClassVar[tuple[str, ...]] = ("denoiser",)

    architecture: DiffusionWorldConfig

    def facts_of(self, component: Component) -> dict[str, Any]:
        """See ``WorldModelTraining.facts_of``."""
        diffusion = self.architecture.denoiser.diffusion
        return {"diffusion": diffusion} if component.name == "denoiser" and diffusion != EDM else {}

    def trainer(self, component: Component) -> ComponentTrainer:
        """See ``WorldModelTraining.trainer``."""
        folder, runtime, seed = self.data.episodes, self.session.runtime, self.session.seed
        export, workers, on_growth = self.exporter(component.name), self.session.workers, self.on_growth
        if isinstance(component.config, DenoiserTrainingConfig):
            denoiser = Denoiser(self.architecture.denoiser)
            self.prepare(denoiser, "denoiser", denoiser.inner_model)
            return DenoiserTrainer(denoiser, folder, component.config, runtime, seed, export, on_growth, workers)
        assert isinstance(component.config, RewardEndTrainingConfig)
        assert self.architecture.reward_end is not None
        model = RewardEndModel(self.architecture.reward_end)
        self.prepare(model, "reward_end", model.encoder)
        dreamed = self._dreamed(component.config)
        return RewardEndTrainer(model, folder, component.config, runtime, seed, export, on_growth, workers, dreamed)

    def _dreamed(self, config: RewardEndTrainingConfig) -> DreamedSegments | None:
        """Dreams of ``init`` with its default preset. Raises ``UsageError`` if it is not given."""
        if config.dreamed_share == 0:
            return None
        workers = self.session.workers
        if self.init is None or len(workers.parts(config.batch_size)) * workers.count > 1:
            raise UsageError("--dreamed-share needs a world to dream in (--init), one process and whole batches")
        init = of_diffusion(self.init, "--dreamed-share")
        seed = derived_seed(self.session.seed, "dreamed segments")
        sampler = init.config.preset(None).dynamics
        return DreamedSegments(init.denoiser, sampler, config.dreamed_share, self.session.runtime, seed)

    def wrong_start(self, world: World, network: nn.Module) -> str | None:
        """See ``WorldModelTraining.wrong_start``."""
        if not isinstance(network, Denoiser):
            return None
        trained = of_diffusion(world, "this training").denoiser.cfg
        if trained.diffusion != network.cfg.diffusion:
            return f"was trained with --diffusion {trained.diffusion}"
        same = replace(trained, inner_model=network.cfg.inner_model) == network.cfg
        return None if same else "is of another --denoiser-size"

    def described(self, folder: Path, provenance: dict[str, Any]) -> WorldConfig:
        """See ``WorldModelTraining.described``."""
        drawing, judging = self.origin("denoiser"), self.origin("reward_end")
        has_judge = (folder / "reward_end.safetensors").exists()
        return replace(
            self.architecture,
            denoiser=drawing.denoiser,
            presets=drawing.presets,
            default_preset=drawing.default_preset,
            reward_end=judging.reward_end if has_judge else None,
            actor_critic=None,
            provenance=provenance,
        )

    def origin(self, component: str) -> DiffusionWorldConfig:
        """The configuration of the component's architecture."""
        carried = self.init is not None and self.is_carried(component)
        return self.init.config if carried and isinstance(self.init, DiffusionWorld) else self.architecture
