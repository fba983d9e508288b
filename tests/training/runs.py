"""Small trainers on real episodes, for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diamond_engine.diffusion import Denoiser
from diamond_engine.episodes import EpisodeFolder
from diamond_engine.networks import RewardEndModel
from diamond_engine.runtime import Runtime
from tests.conftest import tiny_config
from training.denoiser import DenoiserTrainer, DenoiserTrainingConfig
from training.optimisation import OptimiserConfig
from training.reward_end import RewardEndTrainer, RewardEndTrainingConfig

RUNTIME = Runtime.choose("cpu", "float32")
QUICK = OptimiserConfig(learning_rate=3e-3, warmup_steps=1)

MakeTrainer = Callable[[Path], DenoiserTrainer | RewardEndTrainer]


def no_export(folder: Path, network: nn.Module, provenance: dict[str, Any]) -> None:
    """For tests that look at the training alone."""


def denoiser_trainer(episodes: Path) -> DenoiserTrainer:
    """A tiny denoiser with an average of its weights."""
    torch.manual_seed(0)
    cfg = DenoiserTrainingConfig(batch_size=4, ema_decay=0.9, optimiser=QUICK)
    denoiser = Denoiser(tiny_config("Breakout").denoiser)
    return DenoiserTrainer(denoiser, EpisodeFolder(episodes), cfg, RUNTIME, 0, no_export)


def reward_end_trainer(episodes: Path) -> RewardEndTrainer:
    """A tiny reward/end model."""
    torch.manual_seed(0)
    config = tiny_config("Breakout").reward_end
    assert config is not None
    cfg = RewardEndTrainingConfig(batch_size=4, transitions=5, optimiser=QUICK)
    return RewardEndTrainer(RewardEndModel(config), EpisodeFolder(episodes), cfg, RUNTIME, 0, no_export)
