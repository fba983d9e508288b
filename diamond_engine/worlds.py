"""A world: trained networks, their configuration and start contexts; a folder on disk.

``world.yaml``, ``denoiser.safetensors``, optional ``upsampler.safetensors``, ``reward_end.safetensors`` and
``actor_critic.safetensors``, and ``contexts.npz`` (the arrays of ``StartContexts``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from diamond_engine.actions import AtariGame, atari_game, csgo
from diamond_engine.agents import Agent
from diamond_engine.checkpoints import StateDict, built, read_component, write_component
from diamond_engine.configs import read_config, to_yaml
from diamond_engine.contexts import StartContexts, read_contexts, write_contexts
from diamond_engine.diffusion import DDPM, DIFFUSIONS, Denoiser, DenoiserConfig, SamplerConfig
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import write_text
from diamond_engine.networks import (
    ActorCritic,
    ActorCriticConfig,
    InnerModelConfig,
    RewardEndModel,
    RewardEndModelConfig,
)
from diamond_engine.runtime import Runtime

FORMAT = 1
COMPONENTS = ("denoiser", "upsampler", "reward_end", "actor_critic")
CONTEXTS = ("contexts.npz", "spawns.npz")
"""File of the start contexts; the second is its former name, which is still read."""
CHURNED = SamplerConfig(num_steps_denoising=10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9)
"""The upsampler's sampler in the paper: stochastic, and never below σ = 1."""
CHANNELS = 3
Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")


@dataclass(frozen=True)
class Preset:
    """A sampler for each stage."""

    dynamics: SamplerConfig = field(default_factory=SamplerConfig)
    """Sampler of the denoiser."""
    upsampler: SamplerConfig | None = None
    """Sampler of the upsampler, where the world has one."""

    def with_steps(self, steps: int | None = None, upsampler_steps: int | None = None) -> Preset:
        """The preset with other numbers of denoising steps. Raises ``UsageError`` below 1 and without an upsampler."""
        dynamics, upsampler = self.dynamics, self.upsampler
        if steps is not None:
            dynamics = _with_steps(dynamics, steps, "--steps")
        if upsampler_steps is not None:
            if upsampler is None:
                raise UsageError("--upsampler-steps: this world has no upsampler")
            upsampler = _with_steps(upsampler, upsampler_steps, "--upsampler-steps")
        return Preset(dynamics, upsampler)


def _with_steps(sampler: SamplerConfig, steps: int, option: str) -> SamplerConfig:
    if steps < 1:
        raise UsageError(f"{option} must be at least 1, not {steps}")
    return replace(sampler, num_steps_denoising=steps)


ATARI_PRESETS = {"quality": Preset(), "fast": Preset(dynamics=SamplerConfig(num_steps_denoising=1))}
DDPM_PRESETS = {
    "quality": Preset(dynamics=SamplerConfig(diffusion=DDPM, num_steps_denoising=10)),
    "fast": Preset(dynamics=SamplerConfig(diffusion=DDPM)),
}
"""Presets of DDPM worlds; the paper allows DDPM at most 10 steps (Section 5.1)."""
TWO_STAGE_PRESETS = {
    "fast": Preset(
        dynamics=SamplerConfig(num_steps_denoising=1, s_cond=0.005),
        upsampler=replace(CHURNED, num_steps_denoising=1, order=2),
    ),
    "quality": Preset(dynamics=SamplerConfig(s_cond=0.005), upsampler=CHURNED),
}
"""The published ones for CS:GO: 1 + 1 steps, and the paper's 3 + 10."""


@dataclass(frozen=True)
class WorldConfig:
    """What ``world.yaml`` holds."""

    name: str
    """Such as ``atari/Breakout``."""
    game: str | None
    """Atari game of the world's action set; None for a first-person world, whose actions are the vectors of
    ``diamond_engine.actions.csgo``."""
    denoiser: DenoiserConfig
    """The dynamics model."""
    upsampler: DenoiserConfig | None = None
    """The second stage, which enlarges the frame of the dynamics model, if the world has one."""
    reward_end: RewardEndModelConfig | None = None
    """The reward/end model, if the world has one."""
    actor_critic: ActorCriticConfig | None = None
    """The agent, if the world has one."""
    frame_rate: float = 15.0
    """Frames a second at which the world plays at its natural speed."""
    frame_height: int = 64
    """Pixels of a frame as it is shown."""
    frame_width: int = 64
    """Pixels of a frame as it is shown."""
    presets: dict[str, Preset] = field(default_factory=dict[str, Preset])
    """Sampler presets by name."""
    default_preset: str = "quality"
    """The preset used unless another is asked for."""
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """Where the weights come from: data, policies, updates, hardware, measured fidelity, licence."""
    format: int = FORMAT
    """Version of this file."""

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action: () for an index, (A,) for a vector of zeros and ones."""
        inner = self.denoiser.inner_model
        return (inner.num_actions or 0,) if inner.multi_hot_actions else ()

    @property
    def dynamics_size(self) -> tuple[int, int]:
        """Height and width of the frames the dynamics model draws."""
        factor = 1 if self.upsampler is None else self.upsampler.upsampling_factor or 1
        return self.frame_height // factor, self.frame_width // factor

    def preset(self, name: str | None) -> Preset:
        """A preset by name (None: the default). Raises ``UsageError`` for an unknown one."""
        if name is None:
            name = self.default_preset
        if name not in self.presets:
            raise UsageError(f"unknown preset {name!r}: {self.name} has {', '.join(self.presets)}")
        return self.presets[name]


@dataclass(frozen=True)
class World:
    """A loaded world. The networks are on the CPU, as loaded; ``WorldModelEnv`` and ``Agent`` place them."""

    config: WorldConfig
    denoiser: Denoiser
    upsampler: Denoiser | None = None
    reward_end: RewardEndModel | None = None
    actor_critic: ActorCritic | None = None
    contexts: StartContexts | None = None

    @property
    def game(self) -> AtariGame:
        """The Atari game. Raises ``DiamondError`` for a world of another kind."""
        if self.config.game is None:
            raise DiamondError(f"{self.config.name} is a first-person world, not one of an Atari game")
        return atari_game(self.config.game)

    @property
    def context_length(self) -> int:
        """Context length L: number of frames the next one depends on."""
        return self.config.denoiser.inner_model.num_steps_conditioning

    def agent(self, device: str | Runtime = "auto", dtype: str = "auto", seed: int = 0) -> Agent:
        """The world's agent, ready to act; ``device`` and ``dtype`` as in ``Runtime.choose``.

        Raises ``DiamondError`` where it has none.
        """
        if self.actor_critic is None:
            raise DiamondError(f"{self.config.name} has no agent: train one with 'diamond-train agent'")
        return Agent(self.actor_critic, Runtime.choose(device, dtype), seed)


def atari_world_config(game: AtariGame) -> WorldConfig:
    """The paper's architecture (Tables 2 and 3) for a game."""
    actions = len(game.actions)
    return WorldConfig(
        name=f"atari/{game.name}",
        game=game.name,
        denoiser=DenoiserConfig(inner_model=InnerModelConfig(num_actions=actions)),
        reward_end=RewardEndModelConfig(num_actions=actions),
        actor_critic=ActorCriticConfig(num_actions=actions),
        presets=dict(ATARI_PRESETS),
    )


def as_ddpm(config: WorldConfig) -> WorldConfig:
    """The same networks, trained and sampled as DDPM does (Section 5.1 of the paper)."""
    denoiser = replace(config.denoiser, diffusion=DDPM, sigma_offset_noise=0.0)
    return replace(config, denoiser=denoiser, presets=dict(DDPM_PRESETS))


def read_world(folder: Path, game: AtariGame | None = None, dtype: torch.dtype = torch.float32) -> World:
    """Loads a world folder (of ``game``, if given), checking every key and shape; ``dtype`` as in ``build_world``.

    Raises ``DiamondError`` saying what is wrong.
    """
    config, states = open_folder(folder, game, COMPONENTS)
    found = next((folder / name for name in CONTEXTS if (folder / name).exists()), None)
    contexts = None if found is None else read_fitting_contexts(found, config)
    return build_world(config, states, str(folder), contexts, dtype)


def build_world(
    config: WorldConfig,
    states: dict[str, StateDict],
    origin: str,
    contexts: StartContexts | None,
    dtype: torch.dtype = torch.float32,
) -> World:
    """Networks of a configuration whose weights are state dicts by component name, in ``dtype``.

    Weights that have this precision are not copied. Raises ``DiamondError`` where keys or shapes differ.
    """

    def build(component: str, make: Callable[[Config], Network], cfg: Config | None) -> Network | None:
        return None if cfg is None else built(make, cfg, component, states, origin, dtype)

    return World(
        config=config,
        denoiser=built(Denoiser, config.denoiser, "denoiser", states, origin, dtype),
        upsampler=build("upsampler", Denoiser, config.upsampler),
        reward_end=build("reward_end", RewardEndModel, config.reward_end),
        actor_critic=build("actor_critic", ActorCritic, config.actor_critic),
        contexts=contexts,
    )


def write_world(folder: Path, world: World, dtype: torch.dtype = torch.float32) -> None:
    """Writes a world folder. ``world.yaml`` comes last: an interrupted write is not taken for a world."""
    for component in COMPONENTS:
        network = getattr(world, component)
        if network is not None:
            write_component(folder / f"{component}.safetensors", network, dtype)
    if world.contexts is not None:
        write_contexts(folder / CONTEXTS[0], world.contexts)
    write_text(folder / "world.yaml", to_yaml(world.config))


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
    folder: Path, game: AtariGame | None, components: tuple[str, ...]
) -> tuple[WorldConfig, dict[str, StateDict]]:
    """Reads the checked configuration of a world folder and the weights of those ``components`` that it has.

    Raises ``DiamondError`` saying what is wrong, ``UsageError`` for a world of another game than ``game``.
    """
    config = read_config(WorldConfig, folder / "world.yaml")
    if config.format != FORMAT:
        raise DiamondError(f"{folder} is a world of format {config.format}; this version reads format {FORMAT}")
    own = None if config.game is None else atari_game(config.game)
    if game is not None and own != game:
        kind = own.name if own is not None else "the first person"
        raise UsageError(f"{folder} is a world of {kind}, not of {game.name}: use the weights of this game")
    problem = _wrong_actions(config, own) or _wrong_stages(config) or _wrong_frames(config) or _wrong_diffusion(config)
    if problem is not None:
        raise DiamondError(f"{folder / 'world.yaml'} is wrong: {problem}")
    present = [component for component in components if getattr(config, component) is not None]
    return config, {component: read_component(folder / f"{component}.safetensors") for component in present}


def _wrong_actions(config: WorldConfig, game: AtariGame | None) -> str | None:
    if game is None:
        if config.action_shape != (csgo.NUM_ACTIONS,):
            return f"a first-person world needs multi-hot actions of {csgo.NUM_ACTIONS} entries"
        if config.reward_end is not None or config.actor_critic is not None:
            return "a first-person world has neither a reward/end model nor an agent"
        return None
    for part in (config.denoiser.inner_model, config.reward_end, config.actor_critic):
        if part is not None and part.num_actions != len(game.actions):
            return f"{part.num_actions} actions, {game.name} has {len(game.actions)}"
    return "an Atari world has no multi-hot actions" if config.action_shape else None


def _wrong_stages(config: WorldConfig) -> str | None:
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


def _wrong_frames(config: WorldConfig) -> str | None:
    """Describes settings that fit the weights but would fail at the first frame; None if there are none."""
    networks = (config.denoiser, config.upsampler, config.reward_end, config.actor_critic)
    for network in networks:
        images = network.inner_model if isinstance(network, DenoiserConfig) else network
        if images is not None and images.img_channels != CHANNELS:
            return f"a network for images of {images.img_channels} channels, frames have {CHANNELS}"
    for judge in (config.reward_end, config.actor_critic):
        if judge is not None and (judge.img_size,) * 2 != (config.frame_height, config.frame_width):
            return f"a network for frames of {judge.img_size}, they are {config.frame_height}x{config.frame_width}"
    patch = config.denoiser.inner_model.patch_size
    if any(side % patch for side in config.dynamics_size):
        return f"patches of {patch} do not divide {' x '.join(map(str, config.dynamics_size))}"
    if config.denoiser.upsampling_factor is not None or config.denoiser.inner_model.low_res_cond:
        return "the denoiser is an upsampler"
    return None


def _wrong_diffusion(config: WorldConfig) -> str | None:
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


def misfit(contexts: StartContexts, config: WorldConfig) -> str | None:
    """Describes why a world cannot start from these contexts; None if it can."""
    arrays, count = contexts.arrays(), config.denoiser.inner_model.num_actions or 0
    length, action = config.denoiser.inner_model.num_steps_conditioning, config.action_shape
    images = {"frames": (length, *config.dynamics_size, 3)}
    if config.upsampler is not None:
        kept = config.upsampler.inner_model.num_steps_conditioning
        images["full_res"] = (kept, config.frame_height, config.frame_width, 3)
    if not contexts.frames.size:
        return "it holds none"
    for name, shape in images.items():
        array = arrays.get(name)
        if array is None or array.shape != (len(contexts), *shape) or array.dtype != np.uint8:
            found = "none" if array is None else f"{array.dtype} {array.shape}"
            return f"it needs {name} uint8 (N, {', '.join(map(str, shape))}), found {found}"
    for name, steps in (("actions", length - 1), ("recorded", None)):
        array = arrays.get(name)
        if array is None:
            continue
        shape = (len(contexts), array.shape[1] if steps is None else steps, *action)
        if array.shape != shape or not np.isin(array, range(2 if action else count)).all():
            kind = "zeros and ones" if action else f"actions below {count}"
            return f"it needs {name} of shape {shape}, {kind}; found {array.shape}"
    return None
