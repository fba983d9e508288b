"""Trains a world model on episodes and keeps a world folder up to date (``diamond-train world-model``)."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from diamond_engine.checkpoints import load_strictly, write_component
from diamond_engine.configs import defaults, plain
from diamond_engine.contexts import write_contexts
from diamond_engine.errors import DiamondError
from diamond_engine.files import write_text
from diamond_engine.world_model import World, WorldConfig
from training.components.denoiser import DenoiserTrainingConfig
from training.components.optimisation import Optimiser
from training.components.reward_end import RewardEndTrainingConfig
from training.components.token_transformer import TransformerTrainingConfig
from training.components.tokenizer import TokenizerTrainingConfig
from training.data.episodes import GameEpisodes
from training.data.segments import EpisodeContexts
from training.runs.facts import read_provenance
from training.runs.procedure import Trainer
from training.runs.run import Run
from training.runs.session import Session
from training.runs.trained import origin_of

CONTEXTS = 64
STEPS_LEFT = 16

Export = Callable[[Path, nn.Module, dict[str, Any]], None]


class ComponentTrainer(Trainer, Protocol):
    """A trainer of one network."""

    optimiser: Optimiser


@dataclass(frozen=True)
class Component:
    """One component to train, with its settings."""

    name: str
    """Name of its run folder and of its file in the world, such as ``denoiser``."""
    config: DenoiserTrainingConfig | RewardEndTrainingConfig | TokenizerTrainingConfig | TransformerTrainingConfig
    """Settings of its training."""
    updates: int
    """Total number of updates."""


@dataclass(frozen=True)
class WorldModelTraining(ABC):
    """Trains components one after the other, each in its own run folder, and exports them to ``out/world``.

    Each kind of world says which these are.
    """

    names: ClassVar[tuple[str, ...]]
    """The components of a world model, named as a world's files and attributes."""
    needed: ClassVar[tuple[str, ...]]
    """What a world cannot be without."""

    architecture: WorldConfig
    """Sizes of the networks, and the game."""
    data: GameEpisodes
    """Training data."""
    session: Session
    init: World | None = None
    """Weights to start from, of the same architecture. Components that it lacks start from scratch; those that it has
    are part of the exported world until they are trained here."""
    compiled: bool = False
    """Whether to run the networks through ``torch.compile``."""

    @abstractmethod
    def trainer(self, component: Component) -> ComponentTrainer:
        """What trains a component, from ``init`` where there is one."""

    @abstractmethod
    def described(self, folder: Path, provenance: dict[str, Any]) -> WorldConfig:
        """``world.yaml`` for the components that a folder has so far."""

    def facts_of(self, component: Component) -> dict[str, Any]:
        """What shapes a component besides the configuration of its training."""
        return {}

    def wrong_start(self, world: World, network: nn.Module) -> str | None:
        """Why a network cannot start from that of ``init``, though it may have the same sizes; None where it can."""
        return None

    def train(self, components: Sequence[Component]) -> None:
        """Trains all components. Each gets an equal share of the remaining time budget.

        Raises what ``Run.follow`` raises, and ``DiamondError`` if a process is lost or sees other data.
        """
        session, episodes = self.session, self.data.episodes
        with session.workers.joined(session.runtime.device):
            seen = {"episodes": len(episodes), "steps": episodes.num_steps, "precision": session.runtime.dtype_name}
            session.workers.check_alike(seen)
            self._train_all(components)

    def _train_all(self, components: Sequence[Component]) -> None:
        if self.session.workers.leads:
            self._write_contexts()
            self._carry_over()
            self._say_dropped()
        started = time.monotonic()
        for i, component in enumerate(components):
            budget = self.session.time_budget
            if budget is not None:
                budget = max(0.0, budget - (time.monotonic() - started)) / (len(components) - i)
            self._train(component, budget)

    def _train(self, component: Component, budget: float | None) -> None:
        training = {"seed": self.session.seed, **plain(component.config), **self.facts_of(component)}
        settings = {"game": self.architecture.game, **training}
        if self.init is not None:
            settings["init"] = self.init.config.name
        torch.manual_seed(self.session.seed)
        trainer = self.trainer(component)
        run = Run(
            self.session.out / component.name,
            settings,
            self.session.console,
            lambda: self._facts(component.name, training),
            workers=self.session.workers,
            defaults=defaults(component.config),
        )
        self._say_cost(component, trainer)
        run.train(trainer, component.updates, budget, self.session.out / "world")

    @property
    def on_growth(self) -> Callable[[str], None] | None:
        """Is told of new episodes; several processes need not find them at the same time, and look for none."""
        return self.session.console.print if self.session.workers.count == 1 else None

    def prepare(self, network: nn.Module, name: str, compilable: nn.Module) -> None:
        """Gives a network the weights it starts from."""
        if self.init is not None:
            self._start_from(self.init, network, name)
        if self.compiled:
            compilable.compile()

    def _start_from(self, world: World, network: nn.Module, name: str) -> None:
        trained = world.networks.get(name)
        if trained is None:
            self.session.console.print(f"{world.config.name}, given as --init, has no {name}: it starts from nothing")
            return
        problem = self.wrong_start(world, network)
        if problem is not None:
            raise DiamondError(f"{world.config.name}, given as --init, {problem}")
        load_strictly(network, trained.state_dict(), f"{name} of {world.config.name}")

    def _say_cost(self, component: Component, trainer: ComponentTrainer) -> None:
        parameters = sum(p.numel() for p in trainer.optimiser.network.parameters())
        episodes = self.data.episodes
        pieces = "frames" if isinstance(component.config, TokenizerTrainingConfig) else "segments"
        self.session.console.print(
            f"{component.name}: {parameters / 1e6:.2f}M parameters, {component.updates} updates of "
            f"{component.config.batch_size} {pieces} from {len(episodes)} episodes ({episodes.num_steps} steps, up to "
            f"{self.data.memory / 2**30:.2f} GiB of memory) on {self.session.runtime.describe()}"
            + (f" and {self.session.workers.count - 1} more processes" if self.session.workers.count > 1 else "")
            + ("; compiling takes a minute or two" if self.compiled else "")
        )

    def _facts(self, component: str, training: dict[str, Any]) -> dict[str, Any]:
        facts = {"hardware": self.session.runtime.describe(), "data": self.data.facts(), "training": training}
        if self.init is not None:
            facts["init"] = origin_of(self.init, component)
        return facts

    def _write_contexts(self) -> None:
        carried = self.init is not None and self.is_carried(self.needed[0])
        length = (self.init.config if carried and self.init is not None else self.architecture).context_length
        contexts = EpisodeContexts(self.data.episodes, length, self.session.seed, STEPS_LEFT)
        write_contexts(self.session.out / "world" / "contexts.npz", contexts.draw(CONTEXTS))

    def _carry_over(self) -> None:
        if self.init is None:
            return
        for name in filter(self.is_carried, self.names):
            write_component(self.session.out / "world" / f"{name}.safetensors", self.init.networks[name], torch.float32)

    def _say_dropped(self) -> None:
        if self.init is not None and self.init.actor_critic is not None:
            self.session.console.print(
                f"{self.init.config.name}, given as --init, has an agent: {self.session.out / 'world'} has none, as it "
                "learned in other dreams (put it in with 'diamond-train assemble --agent', or train one)"
            )

    def is_carried(self, component: str) -> bool:
        """Whether the exported world has this component from ``init``."""
        had = {} if self.init is None else self.init.networks
        return component in had and not (self.session.out / component).exists()

    def exporter(self, component: str) -> Export:
        def export(folder: Path, network: nn.Module, provenance: dict[str, Any]) -> None:
            write_component(folder / f"{component}.safetensors", network, torch.float32)
            self._describe(folder, {component: provenance})

        return export

    def _describe(self, folder: Path, newest: dict[str, Any]) -> None:
        """Writes ``world.yaml`` for the components trained so far; the denoiser comes first."""
        if not all((folder / f"{name}.safetensors").exists() for name in self.needed):
            return
        provenance = {**{name: self._known_provenance(name) for name in self.names}, **newest}
        if self.init is not None:
            provenance["init"] = origin_of(self.init)
        config = self.described(folder, {name: value for name, value in provenance.items() if value})
        write_text(folder / "world.yaml", config.to_yaml())

    def _known_provenance(self, component: str) -> dict[str, Any]:
        if self.init is not None and self.is_carried(component):
            return self.init.config.provenance.get(component, {})
        return read_provenance(self.session.out / component)
