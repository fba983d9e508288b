"""Small trainers on real episodes, for tests."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diamond_engine.diffusion import Denoiser
from diamond_engine.episodes import EpisodeFolder
from diamond_engine.networks import RewardEndModel
from diamond_engine.runtime import Runtime
from diamond_engine.worlds import as_ddpm
from tests.conftest import tiny_config, tiny_token_world
from tests.programs import diamond_train
from training.components.denoiser import DenoiserTrainer, DenoiserTrainingConfig
from training.components.optimisation import OptimiserConfig
from training.components.reward_end import RewardEndTrainer, RewardEndTrainingConfig
from training.components.token_transformer import TransformerTrainer, TransformerTrainingConfig
from training.components.tokenizer import TokenizerTrainer, TokenizerTrainingConfig

RUNTIME = Runtime.choose("cpu", "float32")
QUICK = OptimiserConfig(learning_rate=3e-3, warmup_steps=1)

MakeTrainer = Callable[..., DenoiserTrainer | RewardEndTrainer]


def no_export(folder: Path, network: nn.Module, provenance: dict[str, Any]) -> None:
    """For tests that look at the training alone."""


def denoiser_trainer(episodes: Path, runtime: Runtime = RUNTIME) -> DenoiserTrainer:
    """A tiny denoiser with an average of its weights."""
    torch.manual_seed(0)
    cfg = DenoiserTrainingConfig(batch_size=4, autoregressive_steps=1, ema_decay=0.9, optimiser=QUICK)
    denoiser = Denoiser(tiny_config("Breakout").denoiser)
    return DenoiserTrainer(denoiser, EpisodeFolder(episodes), cfg, runtime, 0, no_export)


def focused_trainer(episodes: Path, runtime: Runtime = RUNTIME) -> DenoiserTrainer:
    """A tiny denoiser of patches that learns where it is wrong: crops, priorities, levels of the sampler."""
    torch.manual_seed(0)
    cfg = DenoiserTrainingConfig(
        batch_size=4,
        autoregressive_steps=2,
        motion_weight=3.0,
        sampler_share=0.8,
        balanced=True,
        priority_share=0.5,
        scan=2,
        crop_size=32,
        whole_share=0.3,
        optimiser=replace(QUICK, decay_steps=200),
    )
    tiny = tiny_config("Breakout").denoiser
    inner = replace(tiny.inner_model, patch_size=2)
    return DenoiserTrainer(
        Denoiser(replace(tiny, inner_model=inner)), EpisodeFolder(episodes), cfg, runtime, 0, no_export
    )


def ddpm_trainer(episodes: Path, runtime: Runtime = RUNTIME) -> DenoiserTrainer:
    """A tiny denoiser that learns as DDPM does."""
    torch.manual_seed(0)
    cfg = DenoiserTrainingConfig(batch_size=4, autoregressive_steps=1, optimiser=QUICK)
    denoiser = Denoiser(as_ddpm(tiny_config("Breakout")).denoiser)
    return DenoiserTrainer(denoiser, EpisodeFolder(episodes), cfg, runtime, 0, no_export)


def reward_end_trainer(episodes: Path, runtime: Runtime = RUNTIME) -> RewardEndTrainer:
    """A tiny reward/end model."""
    torch.manual_seed(0)
    config = tiny_config("Breakout").reward_end
    assert config is not None
    cfg = RewardEndTrainingConfig(batch_size=4, transitions=5, optimiser=QUICK)
    return RewardEndTrainer(RewardEndModel(config), EpisodeFolder(episodes), cfg, runtime, 0, no_export)


def tokenizer_trainer(episodes: Path, runtime: Runtime = RUNTIME) -> TokenizerTrainer:
    """A tiny tokenizer of IRIS."""
    tokenizer, cfg = tiny_token_world().tokenizer, TokenizerTrainingConfig(batch_size=2, optimiser=QUICK)
    return TokenizerTrainer(tokenizer, EpisodeFolder(episodes), cfg, runtime, 0, no_export)


def transformer_trainer(episodes: Path, runtime: Runtime = RUNTIME) -> TransformerTrainer:
    """A tiny transformer of IRIS."""
    world, cfg = tiny_token_world(), TransformerTrainingConfig(batch_size=2, optimiser=QUICK)
    folder = EpisodeFolder(episodes)
    return TransformerTrainer(world.transformer, world.tokenizer, folder, cfg, runtime, 0, no_export)


TINY_SETTINGS = {
    "networks.denoiser.inner_model.channels": "[8,8,8]",
    "networks.denoiser.inner_model.depths": "[1,1,1]",
    "networks.denoiser.inner_model.attn_depths": "[false,false,false]",
    "networks.denoiser.inner_model.cond_channels": "16",
    "networks.reward_end.channels": "[4,4,4,4]",
    "networks.reward_end.depths": "[1,1,1,1]",
    "networks.reward_end.lstm_dim": "8",
    "networks.actor_critic.channels": "[4,4,4,4]",
    "networks.actor_critic.lstm_dim": "8",
    "collection.steps": "130",
    "collection.first_min": "100",
    "collection.first_max": "110",
    "collection.per_epoch": "20",
    "updates.denoiser.first": "4",
    "updates.denoiser.per_epoch": "2",
    "updates.reward_end.first": "4",
    "updates.reward_end.per_epoch": "2",
    "updates.actor_critic.first": "2",
    "updates.actor_critic.per_epoch": "1",
    "denoiser.batch_size": "2",
    "denoiser.autoregressive_steps": "1",
    "reward_end.batch_size": "2",
    "reward_end.transitions": "5",
    "actor_critic.horizon": "4",
    "imagination.batch_size": "2",
    "imagination.sampler.num_steps_denoising": "2",
    "test.games": "1",
    "test.max_steps": "20",
    "test.final_games": "2",
}
"""Changes to the preset ``quick`` that make a run of Algorithm 1 a matter of seconds."""
TINY_ASSIGNMENTS = [f"{name}={value}" for name, value in TINY_SETTINGS.items()]
TWO_EPOCHS = ("collection.steps=110", "test.final_games=1")
"""More of them, where it does not matter that there are three."""


def metrics_of(run: Path) -> list[dict[str, float]]:
    """The rows of ``metrics.jsonl`` without the time they took."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def run(*arguments: str | int | Path) -> tuple[int, str]:
    """Exit code of ``diamond-train`` and all it says, called in this process."""
    ended = diamond_train(*arguments)
    return ended.returncode, ended.stderr
