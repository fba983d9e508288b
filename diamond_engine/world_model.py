"""What a world is, of whatever kind: it starts from contexts and steps, with frames, rewards and ends.

DIAMOND draws frames by diffusion (``worlds``), IRIS token by token (``token_worlds``). Play, Gymnasium, the training of
agents and evaluation know what is here alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from diamond_engine.actions import KeyMap
from diamond_engine.agents import Agent
from diamond_engine.checkpoints import StateDict
from diamond_engine.class_sampling import Source
from diamond_engine.configs import dumped, plain
from diamond_engine.contexts import StartContexts
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import Game, described_game
from diamond_engine.networks import ActorCritic, ActorCriticConfig
from diamond_engine.runtime import FrameStep, OnStage, Runtime

FORMAT = 1
CHANNELS = 3
OF_OWN_GAMES = ("controls", "key_map")


class Preset(ABC):
    """How frames are drawn."""

    @property
    def steps(self) -> int:
        """Denoising steps a frame; 0 where there are none."""
        return 0

    @property
    def upsampler_steps(self) -> int:
        """The same of the second stage."""
        return 0

    @abstractmethod
    def with_steps(self, steps: int | None = None, upsampler_steps: int | None = None) -> Self:
        """The preset with other numbers of denoising steps. Raises ``UsageError`` below 1 and where there are none."""


@dataclass(frozen=True, kw_only=True)
class WorldConfig(ABC):
    """What ``world.yaml`` holds of every world; each kind adds its networks."""

    name: str
    """Such as ``atari/Breakout``."""
    kind: str
    """``diamond`` or ``iris``."""
    game: str | None
    """Name of the game of the world's actions; None for a first-person world, whose actions are vectors."""
    actor_critic: ActorCriticConfig | None = None
    """The agent, if the world has one."""
    frame_rate: float = 15.0
    """Frames a second at which the world plays at its natural speed."""
    frame_height: int = 64
    """Pixels of a frame as it is shown."""
    frame_width: int = 64
    """Pixels of a frame as it is shown."""
    presets: Mapping[str, Preset]
    """Presets by name."""
    default_preset: str = "quality"
    """The preset used unless another is asked for."""
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    """Where the weights come from: data, policies, updates, hardware, measured fidelity, licence."""
    format: int = FORMAT
    """Version of this file."""
    controls: dict[str, str] = field(default_factory=dict[str, str])
    """Actions of a person's own game and what is held for each (``Game.controls``); empty for other games."""
    key_map: KeyMap | None = None
    """Of a first-person world: what the entries of its actions are; None: those of CS:GO."""

    @property
    def played(self) -> Game:
        """The game, with the size and the rate of the world's frames."""
        game = described_game(self.game, self.name, self.controls, self.key_map)
        height, width = self.frame_height, self.frame_width
        return replace(game, world=self.name, frame_height=height, frame_width=width, frame_rate=self.frame_rate)

    def to_yaml(self) -> str:
        """Content of ``world.yaml``. Games known by name need neither ``controls`` nor ``key_map``."""
        content = plain(self)
        return dumped({name: value for name, value in content.items() if name not in OF_OWN_GAMES or value})

    @property
    @abstractmethod
    def components(self) -> dict[str, Any]:
        """Configurations of the world's networks by component, which names their files, too."""

    @property
    @abstractmethod
    def context_length(self) -> int:
        """Context length L: number of frames that a dream starts from."""

    @property
    @abstractmethod
    def num_actions(self) -> int:
        """Actions, or entries A of an action vector."""

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action: () for an index, (A,) for a vector of zeros and ones."""
        return ()

    @property
    def dynamics_size(self) -> tuple[int, int]:
        """Height and width of the frames that dreams start from."""
        return self.frame_height, self.frame_width

    @property
    def full_res_length(self) -> int:
        """Frames K of full size that dreams start from besides; 0 in a world of one stage."""
        return 0

    @abstractmethod
    def network_calls(self, preset: Preset) -> int:
        """Calls, one after the other, of the networks that draw a frame."""

    @abstractmethod
    def problem(self, game: Game) -> str | None:
        """Describes what is wrong with the configuration; None if nothing is. ``game`` is the one it names."""

    @abstractmethod
    def build(
        self,
        states: dict[str, StateDict],
        origin: str,
        contexts: StartContexts | None,
        dtype: torch.dtype = torch.float32,
    ) -> World:
        """The world whose networks have these weights, state dicts by component, in ``dtype``.

        Weights that have this precision are not copied. Raises ``DiamondError`` where keys or shapes differ.
        """

    def preset(self, name: str | None) -> Preset:
        """A preset by name (None: the default). Raises ``UsageError`` for an unknown one."""
        return self.presets[self.preset_name(name)]

    def preset_name(self, name: str | None) -> str:
        """The name of a preset that it has (None: of the default). Raises ``UsageError`` for another one."""
        if name is None:
            name = self.default_preset
        if name not in self.presets:
            raise UsageError(f"unknown preset {name!r}: {self.name} has {', '.join(self.presets)}")
        return name


@dataclass(frozen=True, kw_only=True)
class World(ABC):
    """A loaded world. The networks are on the CPU, as loaded; ``WorldModelEnv`` and ``Agent`` place them."""

    config: WorldConfig
    actor_critic: ActorCritic | None = None
    contexts: StartContexts | None = None

    @property
    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Those it has, by component."""

    @property
    @abstractmethod
    def judges(self) -> bool:
        """Whether it foretells rewards and ends."""

    @abstractmethod
    def unjudged(self) -> Self:
        """The world without rewards and ends."""

    @abstractmethod
    def frame_step(self, runtime: Runtime, preset: Preset, source: Source, on_stage: OnStage) -> FrameStep[Any]:
        """What draws its frames, with copies of its networks placed on ``runtime``; ``source`` is all randomness.

        ``on_stage`` is told of every stage. Raises ``UsageError`` for a preset of another kind of world.
        """

    @property
    def game(self) -> Game:
        """The game that it dreams."""
        return self.config.played

    @property
    def context_length(self) -> int:
        """Frames L that a dream starts from."""
        return self.config.context_length

    def agent(self, device: str | Runtime = "auto", dtype: str = "auto", seed: int = 0) -> Agent:
        """The world's agent, ready to act; ``device`` and ``dtype`` as in ``Runtime.choose``.

        Raises ``DiamondError`` where it has none.
        """
        if self.actor_critic is None:
            raise DiamondError(f"{self.config.name} has no agent: train one with 'diamond-train agent'")
        return Agent(self.actor_critic, Runtime.choose(device, dtype), seed)


def wrong_actions(config: WorldConfig, game: Game, networks: Iterable[Any]) -> str | None:
    """Describes what is not for the actions of a game; None if all is."""
    for network in networks:
        if network is not None and network.num_actions != len(game.actions):
            return f"{network.num_actions} actions, {game.name} has {len(game.actions)}"
    if config.action_shape != game.action_shape:
        return f"an action is of shape {config.action_shape}, in {game.name} of {game.action_shape}"
    return None


def wrong_judge(config: WorldConfig, networks: Mapping[str, Any]) -> str | None:
    """Describes which network does not fit the frames that it looks at; None if all do."""
    for network in networks.values():
        if network is None:
            continue
        if network.img_channels != CHANNELS:
            return f"a network for images of {network.img_channels} channels, frames have {CHANNELS}"
        if (network.img_size,) * 2 != (config.frame_height, config.frame_width):
            return f"a network for frames of {network.img_size}, they are {config.frame_height}x{config.frame_width}"
    return None


def misfit(contexts: StartContexts, config: WorldConfig) -> str | None:
    """Describes why a world cannot start from these contexts; None if it can."""
    arrays, count = contexts.arrays(), config.num_actions
    length, action = config.context_length, config.action_shape
    images = {"frames": (length, *config.dynamics_size, 3)}
    if config.full_res_length:
        images["full_res"] = (config.full_res_length, config.frame_height, config.frame_width, 3)
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
