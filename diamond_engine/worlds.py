"""A world of DIAMOND, and folders of worlds of any kind.

A folder holds ``world.yaml``, ``denoiser.safetensors``, optional ``upsampler.safetensors``, ``reward_end.safetensors``
and ``actor_critic.safetensors``, and ``contexts.npz`` (the arrays of ``StartContexts``). In a world of IRIS
``tokenizer.safetensors`` and ``transformer.safetensors`` take the place of the first three (``token_worlds``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import nn

from diamond_engine.checkpoints import StateDict, built, read_component, write_component
from diamond_engine.class_sampling import Source
from diamond_engine.configs import read_config
from diamond_engine.contexts import StartContexts, read_contexts, write_contexts
from diamond_engine.damage import read_yaml
from diamond_engine.diffusion import DDPM, DIFFUSIONS, Denoiser, DenoiserConfig, SamplerConfig
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import write_text
from diamond_engine.games import Game
from diamond_engine.networks import (
    ActorCritic,
    ActorCriticConfig,
    InnerModelConfig,
    RewardEndModel,
    RewardEndModelConfig,
)
from diamond_engine.runtime import DiffusionStep, OnStage, Runtime
from diamond_engine.token_worlds import IRIS, TokenWorldConfig
from diamond_engine.world_model import (
    CHANNELS,
    FORMAT,
    Preset,
    World,
    WorldConfig,
    misfit,
    wrong_actions,
    wrong_judge,
)

DIAMOND = "diamond"
COMPONENTS = ("denoiser", "upsampler", "reward_end", "tokenizer", "transformer", "actor_critic")
"""Networks of a world of any kind, as their files are named."""
CONTEXTS = ("contexts.npz", "spawns.npz")
"""File of the start contexts; the second is its former name, which is still read."""
CHURNED = SamplerConfig(num_steps_denoising=10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9)
"""The upsampler's sampler in the paper: stochastic, and never below σ = 1."""
Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")


@dataclass(frozen=True)
class DiffusionPreset(Preset):
    """A sampler for each stage."""

    dynamics: SamplerConfig = field(default_factory=SamplerConfig)
    """Sampler of the denoiser."""
    upsampler: SamplerConfig | None = None
    """Sampler of the upsampler, where the world has one."""

    @property
    def steps(self) -> int:
        """See ``Preset.steps``."""
        return self.dynamics.num_steps_denoising

    @property
    def upsampler_steps(self) -> int:
        """See ``Preset.upsampler_steps``."""
        return 0 if self.upsampler is None else self.upsampler.num_steps_denoising

    def with_steps(self, steps: int | None = None, upsampler_steps: int | None = None) -> Self:
        """The preset with other numbers of denoising steps. Raises ``UsageError`` below 1 and without an upsampler."""
        dynamics, upsampler = self.dynamics, self.upsampler
        if steps is not None:
            dynamics = _with_steps(dynamics, steps, "--steps")
        if upsampler_steps is not None:
            if upsampler is None:
                raise UsageError("--upsampler-steps: this world has no upsampler")
            upsampler = _with_steps(upsampler, upsampler_steps, "--upsampler-steps")
        return replace(self, dynamics=dynamics, upsampler=upsampler)


def _with_steps(sampler: SamplerConfig, steps: int, option: str) -> SamplerConfig:
    if steps < 1:
        raise UsageError(f"{option} must be at least 1, not {steps}")
    return replace(sampler, num_steps_denoising=steps)


ONE_STAGE_PRESETS = {
    "quality": DiffusionPreset(),
    "fast": DiffusionPreset(dynamics=SamplerConfig(num_steps_denoising=1)),
}
DDPM_PRESETS = {
    "quality": DiffusionPreset(dynamics=SamplerConfig(diffusion=DDPM, num_steps_denoising=10)),
    "fast": DiffusionPreset(dynamics=SamplerConfig(diffusion=DDPM)),
}
"""Presets of DDPM worlds; the paper allows DDPM at most 10 steps (Section 5.1)."""
TWO_STAGE_PRESETS = {
    "fast": DiffusionPreset(
        dynamics=SamplerConfig(num_steps_denoising=1, s_cond=0.005),
        upsampler=replace(CHURNED, num_steps_denoising=1, order=2),
    ),
    "quality": DiffusionPreset(dynamics=SamplerConfig(s_cond=0.005), upsampler=CHURNED),
}
"""The published ones for CS:GO: 1 + 1 steps, and the paper's 3 + 10."""


@dataclass(frozen=True, kw_only=True)
class DiffusionWorldConfig(WorldConfig):
    """What ``world.yaml`` holds of a world of DIAMOND."""

    kind: str = DIAMOND
    presets: dict[str, DiffusionPreset] = field(default_factory=dict[str, DiffusionPreset])
    denoiser: DenoiserConfig
    """The dynamics model."""
    upsampler: DenoiserConfig | None = None
    """The second stage, which enlarges the frame of the dynamics model, if the world has one."""
    reward_end: RewardEndModelConfig | None = None
    """The reward/end model, if the world has one."""

    @property
    def components(self) -> dict[str, Any]:
        """See ``WorldConfig.components``."""
        names = ("denoiser", "upsampler", "reward_end", "actor_critic")
        return {name: getattr(self, name) for name in names}

    @property
    def context_length(self) -> int:
        """See ``WorldConfig.context_length``."""
        return self.denoiser.inner_model.num_steps_conditioning

    @property
    def num_actions(self) -> int:
        """See ``WorldConfig.num_actions``."""
        return self.denoiser.inner_model.num_actions or 0

    @property
    def action_shape(self) -> tuple[int, ...]:
        """See ``WorldConfig.action_shape``."""
        return (self.num_actions,) if self.denoiser.inner_model.multi_hot_actions else ()

    @property
    def dynamics_size(self) -> tuple[int, int]:
        """Height and width of the frames the dynamics model draws."""
        factor = 1 if self.upsampler is None else self.upsampler.upsampling_factor or 1
        return self.frame_height // factor, self.frame_width // factor

    @property
    def full_res_length(self) -> int:
        """See ``WorldConfig.full_res_length``."""
        return 0 if self.upsampler is None else self.upsampler.inner_model.num_steps_conditioning

    def preset(self, name: str | None) -> DiffusionPreset:
        """See ``WorldConfig.preset``."""
        return self.presets[self.preset_name(name)]

    def network_calls(self, preset: Preset) -> int:
        """See ``WorldConfig.network_calls``."""
        preset = as_samplers(preset, self)
        upsampler = preset.upsampler if self.upsampler is not None else None
        return preset.dynamics.network_calls + (0 if upsampler is None else upsampler.network_calls)

    def problem(self, game: Game) -> str | None:
        """See ``WorldConfig.problem``."""
        return _wrong_actions(self, game) or _wrong_stages(self) or _wrong_frames(self) or _wrong_diffusion(self)

    def build(
        self,
        states: dict[str, StateDict],
        origin: str,
        contexts: StartContexts | None,
        dtype: torch.dtype = torch.float32,
    ) -> DiffusionWorld:
        """See ``WorldConfig.build``."""

        def build(component: str, make: Callable[[Config], Network], cfg: Config | None) -> Network | None:
            return None if cfg is None else built(make, cfg, component, states, origin, dtype)

        return DiffusionWorld(
            config=self,
            denoiser=built(Denoiser, self.denoiser, "denoiser", states, origin, dtype),
            upsampler=build("upsampler", Denoiser, self.upsampler),
            reward_end=build("reward_end", RewardEndModel, self.reward_end),
            actor_critic=build("actor_critic", ActorCritic, self.actor_critic),
            contexts=contexts,
        )


@dataclass(frozen=True, kw_only=True)
class DiffusionWorld(World):
    """A loaded world of DIAMOND."""

    config: DiffusionWorldConfig
    denoiser: Denoiser
    upsampler: Denoiser | None = None
    reward_end: RewardEndModel | None = None

    @property
    def networks(self) -> dict[str, nn.Module]:
        """See ``World.networks``."""
        named = {name: getattr(self, name) for name in self.config.components}
        return {name: network for name, network in named.items() if network is not None}

    @property
    def judges(self) -> bool:
        """See ``World.judges``."""
        return self.reward_end is not None

    def unjudged(self) -> Self:
        """See ``World.unjudged``."""
        return replace(self, reward_end=None)

    def frame_step(self, runtime: Runtime, preset: Preset, source: Source, on_stage: OnStage) -> DiffusionStep:
        """See ``World.frame_step``. Raises ``UsageError`` for a preset that lacks a sampler for the upsampler, too.

        Where the runtime records whole frames, ``on_stage`` is told of none.
        """
        preset = as_samplers(preset, self.config)
        if self.upsampler is not None and preset.upsampler is None:
            raise UsageError(f"{self.config.name} has an upsampler: the preset needs a sampler for it")
        dynamics, upsampler = runtime.for_frames(self.denoiser, preset.dynamics), None
        if self.upsampler is not None and preset.upsampler is not None:
            upsampler = runtime.for_frames(self.upsampler, preset.upsampler)
        reward_end = None if self.reward_end is None else runtime.for_inference(self.reward_end)
        told: OnStage = (lambda stage, drawn: None) if runtime.records else on_stage
        return DiffusionStep(dynamics, upsampler, reward_end, source, told)


def as_samplers(preset: Preset, config: WorldConfig) -> DiffusionPreset:
    """A preset of samplers. Raises ``UsageError`` for another one, given for the world of ``config``."""
    if not isinstance(preset, DiffusionPreset):
        raise UsageError(f"{config.name} is drawn by diffusion: its preset must be one of samplers")
    return preset


def of_diffusion(world: World, purpose: str) -> DiffusionWorld:
    """A world of DIAMOND. Raises ``UsageError`` for another one: ``purpose``, such as ``a page``, is not for it."""
    if not isinstance(world, DiffusionWorld):
        raise UsageError(f"{world.config.name} is a world of {world.config.kind.upper()}: {purpose} is for diffusion")
    return world


KINDS: dict[str, type[WorldConfig]] = {DIAMOND: DiffusionWorldConfig, IRIS: TokenWorldConfig}
"""Kinds of worlds, as ``world.yaml`` names them."""


def paper_config(game: Game) -> DiffusionWorldConfig:
    """The paper's architecture (Tables 2 and 3) for a game whose actions are indices."""
    actions = len(game.actions)
    return DiffusionWorldConfig(
        name=game.world,
        game=game.name,
        denoiser=DenoiserConfig(inner_model=InnerModelConfig(num_actions=actions)),
        reward_end=RewardEndModelConfig(num_actions=actions, img_size=game.frame_height),
        actor_critic=ActorCriticConfig(num_actions=actions, img_size=game.frame_height),
        frame_rate=game.frame_rate,
        frame_height=game.frame_height,
        frame_width=game.frame_width,
        presets=dict(ONE_STAGE_PRESETS),
        controls=game.controls,
    )


def as_ddpm(config: DiffusionWorldConfig) -> DiffusionWorldConfig:
    """The same networks, trained and sampled as DDPM does (Section 5.1 of the paper)."""
    denoiser = replace(config.denoiser, diffusion=DDPM, sigma_offset_noise=0.0)
    return replace(config, denoiser=denoiser, presets=dict(DDPM_PRESETS))


def read_world(folder: Path, game: Game | None = None, dtype: torch.dtype = torch.float32) -> World:
    """Loads a world folder (of ``game``, if given), checking every key and shape; ``dtype`` as in
    ``WorldConfig.build``.

    Raises ``DiamondError`` saying what is wrong.
    """
    config, states = open_folder(folder, game, COMPONENTS)
    found = next((folder / name for name in CONTEXTS if (folder / name).exists()), None)
    contexts = None if found is None else read_fitting_contexts(found, config)
    return config.build(states, str(folder), contexts, dtype)


def write_world(folder: Path, world: World, dtype: torch.dtype = torch.float32) -> None:
    """Writes a world folder; ``world.yaml`` last, so that an interrupted write is never taken for a world."""
    for component, network in world.networks.items():
        write_component(folder / f"{component}.safetensors", network, dtype)
    if world.contexts is not None:
        write_contexts(folder / CONTEXTS[0], world.contexts)
    write_text(folder / "world.yaml", world.config.to_yaml())


def world_folder(path: Path) -> Path:
    """The world folder at ``path``: the folder itself, or the one that a training run made in it.

    Raises ``UsageError`` if there is nothing, a file, or a folder without a world.
    """
    for folder in (path, path / "world"):
        if (folder / "world.yaml").is_file():
            return folder
    if path.is_file():
        raise UsageError(f"{path} is a file: give the name of a world and this as its weights")
    if not path.exists():
        raise UsageError(f"no world {str(path)!r}: give a name such as 'atari/Breakout' or the folder of a world")
    raise UsageError(f"{path} is no world: it holds neither world.yaml nor world/world.yaml")


def open_folder(
    folder: Path, game: Game | None, components: tuple[str, ...]
) -> tuple[WorldConfig, dict[str, StateDict]]:
    """Reads the checked configuration of a world folder and the weights of those ``components`` that it has.

    Raises ``DiamondError`` saying what is wrong, ``UsageError`` for a world of another game than ``game``.
    """
    config = read_world_config(folder)
    if config.format != FORMAT:
        raise DiamondError(f"{folder} is a world of format {config.format}; this version reads format {FORMAT}")
    played = config.played
    if game is not None and not played.is_like(game):
        kind = played.title if played.name != game.name else "other actions"
        raise UsageError(f"{folder} is a world of {kind}, not of {game.name}: use the weights of this game")
    problem = config.problem(played)
    if problem is not None:
        raise DiamondError(f"{folder / 'world.yaml'} is wrong: {problem}")
    present = [component for component in components if config.components.get(component) is not None]
    return config, {component: read_component(folder / f"{component}.safetensors") for component in present}


def read_world_config(folder: Path) -> WorldConfig:
    """What ``world.yaml`` of a folder holds. Raises ``DiamondError`` as ``read_config`` does."""
    path = folder / "world.yaml"
    return read_config(_kind_of(path), path)


def _kind_of(path: Path) -> type[WorldConfig]:
    """What reads a ``world.yaml``; of DIAMOND where it does not say. Raises ``DiamondError`` for an unknown kind."""
    try:
        content = read_yaml(path)
        kind = content.get("kind", DIAMOND)
    except Exception:  # reading it as a world says what is wrong
        return DiffusionWorldConfig
    if kind not in KINDS:
        raise DiamondError(f"{path} is of a world of kind {kind!r}: this version knows {' and '.join(KINDS)}")
    return KINDS[kind]


def _wrong_actions(config: DiffusionWorldConfig, game: Game) -> str | None:
    judges = config.reward_end, config.actor_critic
    if not game.judged and any(judges):
        return f"{game.name} has neither rewards nor ends, its worlds neither a reward/end model nor an agent"
    return wrong_actions(config, game, (config.denoiser.inner_model, *judges))


def _wrong_stages(config: DiffusionWorldConfig) -> str | None:
    stages = 1 if config.upsampler is None else 2
    if config.default_preset not in config.presets:
        return f"it has no preset {config.default_preset}"
    for name, preset in config.presets.items():
        if (preset.upsampler is None) != (config.upsampler is None):
            return f"preset {name} samples {3 - stages} of {stages} stages"
    if config.upsampler is not None:
        factor = config.upsampler.upsampling_factor
        if not factor or config.frame_height % factor or config.frame_width % factor:
            return f"the upsampling factor {factor} does not divide {config.frame_height}x{config.frame_width}"
    return None


def _wrong_frames(config: DiffusionWorldConfig) -> str | None:
    """What would fit the weights all the same, and fail at the first frame."""
    for denoiser in (config.denoiser, config.upsampler):
        if denoiser is not None and denoiser.inner_model.img_channels != CHANNELS:
            return f"a network for images of {denoiser.inner_model.img_channels} channels, frames have {CHANNELS}"
    problem = wrong_judge(config, {"reward_end": config.reward_end, "actor_critic": config.actor_critic})
    if problem is not None:
        return problem
    patch = config.denoiser.inner_model.patch_size
    if any(side % patch for side in config.dynamics_size):
        return f"patches of {patch} do not divide {' x '.join(map(str, config.dynamics_size))}"
    if config.denoiser.upsampling_factor is not None or config.denoiser.inner_model.low_res_cond:
        return "the denoiser is an upsampler"
    return None


def _wrong_diffusion(config: DiffusionWorldConfig) -> str | None:
    for stage, cfg in (("dynamics", config.denoiser), ("upsampler", config.upsampler)):
        if cfg is None:
            continue
        if cfg.diffusion not in DIFFUSIONS:
            return f"unknown diffusion {cfg.diffusion!r}, this version knows {' and '.join(DIFFUSIONS)}"
        for name, preset in config.presets.items():
            if getattr(preset, stage).sigma_min > getattr(preset, stage).sigma_max:
                return f"preset {name} samples the {stage} model from less noise to more"
            if getattr(preset, stage).diffusion != cfg.diffusion:
                return f"preset {name} does not sample the {stage} model by {cfg.diffusion}, as it was trained"
    return None


def read_fitting_contexts(path: Path, config: WorldConfig) -> StartContexts:
    """Reads a world's start contexts. Raises ``DiamondError`` if they are damaged or do not fit the world."""
    contexts = read_contexts(path)
    problem = misfit(contexts, config)
    if problem is not None:
        raise DiamondError(f"{path} does not fit its world: {problem}")
    return contexts
