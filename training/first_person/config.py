"""Settings of a first-person training, typed, and the presets ``paper`` and ``quick``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diamond_engine.csgo import csgo_world_config
from diamond_engine.diffusion import DenoiserConfig
from diamond_engine.errors import UsageError
from diamond_engine.worlds import TWO_STAGE_PRESETS
from training.components.optimisation import OptimiserConfig
from training.components.shapes import check_inner_model
from training.first_person.stage import StageConfig
from training.runs.settings import check_counts, configured

STAGES = ("dynamics", "upsampler")
SAMPLERS = {
    "fast": TWO_STAGE_PRESETS["fast"],
    "balanced": replace(TWO_STAGE_PRESETS["fast"], dynamics=TWO_STAGE_PRESETS["quality"].dynamics),
    "quality": TWO_STAGE_PRESETS["quality"],
}
"""Those of a trained world: denoising steps 1 + 1, 3 + 1, 3 + 10."""


@dataclass(frozen=True)
class StageNetworks:
    """Architectures."""

    dynamics: DenoiserConfig
    """Of the dynamics model, which draws low-resolution frames."""
    upsampler: DenoiserConfig
    """Of the upsampler, which enlarges them."""


@dataclass(frozen=True)
class FirstPersonConfig:
    """All settings of a training except data and seed; the defaults are the paper's."""

    networks: StageNetworks
    """Architectures."""
    dynamics: StageConfig
    """Training of the dynamics."""
    upsampler: StageConfig
    """Training of the upsampler."""
    name: str = "csgo"
    """Name of the world."""
    frame_rate: float = 16.0
    """Frames a second of the recordings and of play."""
    contexts: int = 16
    """Start contexts of the world."""
    recorded_actions: int = 200
    """Number of recorded actions to keep after each of them."""
    default_preset: str = "fast"
    """Default sampler preset of the world."""
    checkpoint_minutes: float = 5.0
    """Seconds between checkpoints; one is also written when the run stops."""


@dataclass(frozen=True)
class Preset:
    """One size of training."""

    config: FirstPersonConfig
    """Its settings."""
    expectation: str
    """Expected quality and cost."""


def paper() -> FirstPersonConfig:
    """The paper's networks and training for CS:GO."""
    world = csgo_world_config()
    assert world.upsampler is not None
    return FirstPersonConfig(
        networks=StageNetworks(world.denoiser, world.upsampler),
        dynamics=StageConfig(batch_size=16, autoregressive_steps=4),
        upsampler=StageConfig(batch_size=4, autoregressive_steps=1),
    )


def quick() -> FirstPersonConfig:
    """Both stages of the paper's, small enough for a few minutes on two CPU cores."""
    networks = paper().networks
    dynamics = replace(
        networks.dynamics.inner_model,
        cond_channels=128,
        depths=(1, 1, 1, 1),
        channels=(32, 64, 64, 64),
        attn_depths=(False, False, False, False),
    )
    upsampler = replace(
        networks.upsampler.inner_model,
        cond_channels=64,
        depths=(1, 1, 1, 1),
        channels=(16, 16, 32, 32),
        attn_depths=(False, False, False, False),
    )
    optimiser = OptimiserConfig(learning_rate=1e-3, warmup_steps=20, max_grad_norm=10.0)
    return FirstPersonConfig(
        networks=StageNetworks(
            replace(networks.dynamics, inner_model=dynamics), replace(networks.upsampler, inner_model=upsampler)
        ),
        dynamics=StageConfig(batch_size=8, autoregressive_steps=1, accumulation=1, updates=1000, optimiser=optimiser),
        upsampler=StageConfig(batch_size=1, autoregressive_steps=0, accumulation=1, updates=400, optimiser=optimiser),
        checkpoint_minutes=1.0,
    )


PRESETS = {
    "paper": Preset(
        paper(),
        "the paper's networks and 240,000 updates of each stage; the paper reports 12 days on an RTX 4090, "
        "a CPU would take years",
    ),
    "quick": Preset(
        quick(),
        "to see every stage run, in minutes: dreams are blurry, follow the actions little and soon fall apart",
    ),
}


def first_person_config(preset: str, file: Path | None, assignments: Sequence[str]) -> FirstPersonConfig:
    """A preset, changed by the settings of a file and of the command line.

    Raises ``UsageError`` for unknown names, wrong types and invalid values.
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown --preset {preset!r}: use {' or '.join(PRESETS)}")
    base = PRESETS[preset].config
    config = configured(base, file, assignments)
    counts = ("autoregressive_steps", "optimiser.warmup_steps", "optimiser.decay_steps")
    may_be_zero = {f"{stage}.{name}" for stage in STAGES for name in counts}
    check_counts(config, may_be_zero)
    for stage in STAGES:
        _check_network(stage, getattr(config.networks, stage), getattr(base.networks, stage))
        rate = getattr(config, stage).optimiser.learning_rate
        if not rate > 0:
            raise UsageError(f"{stage}.optimiser.learning_rate must be more than 0, not {rate}")
        _check_shares(stage, getattr(config, stage))
    if config.default_preset not in SAMPLERS:
        raise UsageError(f"unknown default_preset {config.default_preset!r}: use {', '.join(SAMPLERS)}")
    if not (config.frame_rate > 0 and config.checkpoint_minutes > 0):
        raise UsageError("frame_rate and checkpoint_minutes must be more than 0")
    return config


def for_actions(config: FirstPersonConfig, size: int) -> FirstPersonConfig:
    """The same for actions of so many entries."""
    inner = replace(config.networks.dynamics.inner_model, num_actions=size)
    networks = replace(config.networks, dynamics=replace(config.networks.dynamics, inner_model=inner))
    return replace(config, networks=networks)


def _check_shares(stage: str, config: StageConfig) -> None:
    for name in ("sampler_share", "first_share", "priority_share"):
        share = getattr(config, name)
        if not 0 <= share <= 1:
            raise UsageError(f"{stage}.{name} must be from 0 to 1, not {share}")
    if stage == "upsampler" and config.sampler_share > 0:
        raise UsageError("upsampler.sampler_share must be 0: its sampler is another one, which adds noise as it goes")
    if config.priority_share > 0 and config.sampler_share == 0:
        raise UsageError(f"{stage}.priority_share needs a share of noise levels of the sampler: {stage}.sampler_share")


def _check_network(stage: str, network: DenoiserConfig, base: DenoiserConfig) -> None:
    inner = network.inner_model
    levels = (inner.channels, inner.depths, inner.attn_depths)
    if len({len(values) for values in levels}) != 1:
        raise UsageError(
            f"networks.{stage}.inner_model: give as many values per level everywhere: {', '.join(map(str, levels))}"
        )
    for name in ("num_actions", "img_channels", "multi_hot_actions", "low_res_cond"):
        if getattr(inner, name) != getattr(base.inner_model, name):
            raise UsageError(f"networks.{stage}.inner_model.{name} must be {getattr(base.inner_model, name)}")
    if network.upsampling_factor != base.upsampling_factor:
        raise UsageError(f"networks.{stage}.upsampling_factor must be {base.upsampling_factor}")
    check_inner_model(f"{stage}.inner_model", inner)
