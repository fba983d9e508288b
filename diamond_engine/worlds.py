"""A world: trained networks, their configuration, and contexts to start from; a folder on disk.

``world.yaml``, ``denoiser.safetensors``, optional ``reward_end.safetensors`` and ``actor_critic.safetensors``, and
``spawns.npz`` (``frames`` uint8 ``(N, L, H, W, 3)``, ``actions`` int64 ``(N, L-1)``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from diamond_engine.actions import AtariGame, atari_game
from diamond_engine.agents import Agent
from diamond_engine.checkpoints import StateDict, load_strictly, read_component, read_published, write_component
from diamond_engine.configs import read_config, to_yaml
from diamond_engine.diffusion import Denoiser, DenoiserConfig, SamplerConfig
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
from diamond_engine.spawns import Spawns, collect_spawns, read_spawns, write_spawns
from weights import locate

FORMAT = 1
ATARI = "atari/"
COMPONENTS = ("denoiser", "reward_end", "actor_critic")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Preset:
    """How frames are drawn: a sampler for each stage."""

    dynamics: SamplerConfig = field(default_factory=SamplerConfig)
    """Sampler of the denoiser."""
    upsampler: SamplerConfig | None = None
    """Sampler of the upsampler, where the world has one."""

    def with_steps(self, steps: int) -> Preset:
        """The same with another number of dynamics denoising steps. Raises ``UsageError`` below 1."""
        if steps < 1:
            raise UsageError(f"--steps must be at least 1, not {steps}")
        return replace(self, dynamics=replace(self.dynamics, num_steps_denoising=steps))


ATARI_PRESETS = {"quality": Preset(), "fast": Preset(dynamics=SamplerConfig(num_steps_denoising=1))}


@dataclass(frozen=True)
class WorldConfig:
    """What ``world.yaml`` holds."""

    name: str
    """Such as ``atari/Breakout``."""
    game: str
    """Atari game whose action set the world understands."""
    denoiser: DenoiserConfig
    """The dynamics model."""
    reward_end: RewardEndModelConfig | None = None
    """The reward/end model, if the world has one."""
    actor_critic: ActorCriticConfig | None = None
    """The agent, if the world has one."""
    frame_rate: float = 15.0
    """Frames a second at which the world plays at its natural speed."""
    frame_height: int = 64
    """Pixels."""
    frame_width: int = 64
    """Pixels."""
    presets: dict[str, Preset] = field(default_factory=lambda: dict(ATARI_PRESETS))
    """Sampler presets by name."""
    default_preset: str = "quality"
    """The preset used unless another is asked for."""
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """Where the weights come from: data, policies, updates, hardware, measured fidelity, licence."""
    format: int = FORMAT
    """Version of this file."""

    def preset(self, name: str | None) -> Preset:
        """A preset by name (None: the default). Raises ``UsageError`` for an unknown one."""
        if name is None:
            name = self.default_preset
        if name not in self.presets:
            raise UsageError(f"unknown preset {name!r}: {self.name} has {', '.join(self.presets)}")
        return self.presets[name]


@dataclass(frozen=True)
class World:
    """A loaded world. The networks are as they came from disk (CPU); ``WorldModelEnv`` and ``Agent`` place them."""

    config: WorldConfig
    denoiser: Denoiser
    reward_end: RewardEndModel | None = None
    actor_critic: ActorCritic | None = None
    spawns: Spawns | None = None

    @property
    def game(self) -> AtariGame:
        """The action space."""
        return atari_game(self.config.game)

    @property
    def context_length(self) -> int:
        """Frames L the next one depends on."""
        return self.config.denoiser.inner_model.num_steps_conditioning

    def agent(self, device: str = "auto", dtype: str = "auto", seed: int = 0) -> Agent:
        """The world's agent, ready to act. Raises ``DiamondError`` where it has none."""
        return _agent(self.config, self.actor_critic, device, dtype, seed)


def load_world(name_or_path: str | Path, *, weights: str | Path | None = None) -> World:
    """Loads a world by name (``atari/Breakout``), from its folder, or from the folder of a training run.

    By name, the bundled world is taken, or else the published checkpoint, downloaded once. ``weights`` chooses others:
    ``"hub"`` the published checkpoint, a path a world folder of the same game or a published ``.pt``. A checkpoint has
    no start contexts: they are collected from the emulator.

    Raises ``UsageError`` for an unknown name, ``DiamondError`` for weights that are missing, damaged or do not fit.
    """
    path, game = _find(name_or_path, weights)
    if game is None or path.is_dir():
        return read_world(path, game)
    world = read_published_world(path, game)
    return replace(world, spawns=collect_spawns(game, world.context_length))


def load_agent(
    name_or_path: str | Path,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
) -> Agent:
    """Loads only the agent of a world, from where ``load_world`` would take it, and places it on a device.

    Raises what ``load_world`` raises, and ``DiamondError`` where the world has no agent.
    """
    path, game = _find(name_or_path, weights)
    if game is None or path.is_dir():
        config, states = _open_folder(path, game, ("actor_critic",))
    else:
        config, states = _open_published(path, game)
    return _agent(config, _actor_critic(config, states, str(path)), device, dtype, seed)


def atari_world_config(game: AtariGame) -> WorldConfig:
    """The paper's architecture (Tables 2 and 3) for a game."""
    actions = len(game.actions)
    return WorldConfig(
        name=f"atari/{game.name}",
        game=game.name,
        denoiser=DenoiserConfig(inner_model=InnerModelConfig(num_actions=actions)),
        reward_end=RewardEndModelConfig(num_actions=actions),
        actor_critic=ActorCriticConfig(num_actions=actions),
    )


def read_world(folder: Path, game: AtariGame | None = None) -> World:
    """Loads a world folder (of ``game``, if given), checking every key and shape.

    Raises ``DiamondError`` saying what is wrong.
    """
    config, states = _open_folder(folder, game, COMPONENTS)
    spawns = folder / "spawns.npz"
    return build_world(config, states, str(folder), _read_fitting_spawns(spawns, config) if spawns.exists() else None)


def read_published_world(path: Path, game: AtariGame, spawns: Spawns | None = None) -> World:
    """Loads a published Atari checkpoint of the paper's architecture.

    Raises ``DiamondError`` where it is damaged or made for another game's number of actions.
    """
    config, states = _open_published(path, game)
    return build_world(config, states, str(path), spawns)


def build_world(config: WorldConfig, states: dict[str, StateDict], origin: str, spawns: Spawns | None) -> World:
    """Networks of a configuration filled with state dicts by component name."""
    reward_end = None if config.reward_end is None else RewardEndModel(config.reward_end)
    return World(
        config=config,
        denoiser=_filled(Denoiser(config.denoiser), "denoiser", states, origin),
        reward_end=None if reward_end is None else _filled(reward_end, "reward_end", states, origin),
        actor_critic=_actor_critic(config, states, origin),
        spawns=spawns,
    )


def write_world(folder: Path, world: World, dtype: torch.dtype = torch.float32) -> None:
    """Writes a world folder; ``world.yaml`` last, so that an interrupted write is never taken for a world."""
    for component in COMPONENTS:
        network = getattr(world, component)
        if network is not None:
            write_component(folder / f"{component}.safetensors", network, dtype)
    if world.spawns is not None:
        write_spawns(folder / "spawns.npz", world.spawns)
    write_text(folder / "world.yaml", to_yaml(world.config))


def _find(name_or_path: str | Path, weights: str | Path | None) -> tuple[Path, AtariGame | None]:
    """A world folder, or the published checkpoint of the game returned with it; the game is None for a folder given."""
    if isinstance(name_or_path, str) and name_or_path.startswith(ATARI):
        game = atari_game(name_or_path.removeprefix(ATARI))
        if weights is None or weights == "hub":
            return locate(ATARI + game.name, hub_only=weights == "hub"), game
        path = Path(weights)
        return _world_folder(path) if path.is_dir() else path, game
    if weights is not None:
        raise UsageError(f"weights go with the name of a world, such as 'atari/Breakout', not with {name_or_path}")
    return _world_folder(Path(name_or_path)), None


def _world_folder(path: Path) -> Path:
    for folder in (path, path / "world"):
        if (folder / "world.yaml").is_file():
            return folder
    if path.is_file():
        raise UsageError(f"{path} is a file: give the name of a world and this as its weights")
    if not path.exists():
        raise UsageError(f"no world {str(path)!r}: give a name such as 'atari/Breakout' or the folder of a world")
    raise DiamondError(f"{path} is no world: it holds neither world.yaml nor world/world.yaml")


def _open_folder(
    folder: Path, game: AtariGame | None, components: tuple[str, ...]
) -> tuple[WorldConfig, dict[str, StateDict]]:
    """The configuration of a world folder, checked, and the weights of those of ``components`` that it has."""
    config = read_config(WorldConfig, folder / "world.yaml")
    if config.format != FORMAT:
        raise DiamondError(f"{folder} is a world of format {config.format}; this version reads format {FORMAT}")
    own = atari_game(config.game)
    if game is not None and own != game:
        raise DiamondError(f"{folder} is a world of {own.name}, not of {game.name}: use the weights of this game")
    for part in (config.denoiser.inner_model, config.reward_end, config.actor_critic):
        if part is not None and part.num_actions != len(own.actions):
            raise DiamondError(
                f"{folder / 'world.yaml'} is wrong: {part.num_actions} actions, {own.name} has {len(own.actions)}"
            )
    present = [component for component in components if getattr(config, component) is not None]
    return config, {component: read_component(folder / f"{component}.safetensors") for component in present}


def _open_published(path: Path, game: AtariGame) -> tuple[WorldConfig, dict[str, StateDict]]:
    states = read_published(path)
    table = states.get("denoiser", {}).get("inner_model.act_emb.0.weight")
    if table is not None and len(table) != len(game.actions):
        raise DiamondError(
            f"{path} was trained for a game of {len(table)} actions, {game.name} has {len(game.actions)}: "
            "use the weights of this game"
        )
    provenance = {"source": "checkpoint in the form published by the authors of the paper", "file": path.name}
    return replace(atari_world_config(game), provenance=provenance), states


def _actor_critic(config: WorldConfig, states: dict[str, StateDict], origin: str) -> ActorCritic | None:
    if config.actor_critic is None:
        return None
    return _filled(ActorCritic(config.actor_critic), "actor_critic", states, origin)


def _filled(network: Network, component: str, states: dict[str, StateDict], origin: str) -> Network:
    if component not in states:
        raise DiamondError(f"{origin} has no {component}")
    load_strictly(network, states[component], f"{component} of {origin}")
    return network.eval()


def _agent(config: WorldConfig, network: ActorCritic | None, device: str, dtype: str, seed: int) -> Agent:
    if network is None:
        raise DiamondError(f"{config.name} has no agent: train one with 'diamond-train agent'")
    return Agent(network, Runtime.choose(device, dtype), seed)


def _read_fitting_spawns(path: Path, config: WorldConfig) -> Spawns:
    spawns = read_spawns(path)
    expected = (config.denoiser.inner_model.num_steps_conditioning, config.frame_height, config.frame_width, 3)
    actions = len(atari_game(config.game).actions)
    if not len(spawns) or spawns.frames.shape[1:] != expected or not np.isin(spawns.actions, range(actions)).all():
        raise DiamondError(
            f"{path} does not fit its world: it needs frames of shape (N, {', '.join(map(str, expected))}) and actions "
            f"below {actions}"
        )
    return spawns
