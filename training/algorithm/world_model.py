"""Trains the world model on episodes and keeps a world folder up to date (``diamond-train world-model``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diamond_engine.actions import AtariGame
from diamond_engine.checkpoints import load_strictly, write_component
from diamond_engine.configs import defaults, plain, to_yaml
from diamond_engine.contexts import write_contexts
from diamond_engine.diffusion import DDPM, EDM, Denoiser, SamplerConfig
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import write_text
from diamond_engine.networks import RewardEndModel
from diamond_engine.worlds import Preset, World, WorldConfig, as_ddpm, atari_world_config
from training.components.denoiser import DenoiserTrainer, DenoiserTrainingConfig
from training.components.reward_end import RewardEndTrainer, RewardEndTrainingConfig
from training.data.dreamed_segments import DreamedSegments
from training.data.episodes import GameEpisodes
from training.data.segments import EpisodeContexts
from training.runs.facts import read_provenance
from training.runs.run import Run
from training.runs.seeds import derived_seed
from training.runs.session import Session
from training.runs.trained import origin_of

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
CONTEXTS = 64
STEPS_LEFT = 16


def world_architecture(
    game: AtariGame, reward_end_size: str, diffusion: str = EDM, denoiser_size: str = "paper"
) -> WorldConfig:
    """The paper's networks for a game, at sizes of ``REWARD_END_SIZES`` and ``DENOISER_SIZES``."""
    paper = atari_world_config(game)
    config = as_ddpm(paper) if diffusion == DDPM else paper
    assert config.reward_end is not None
    inner = replace(config.denoiser.inner_model, **DENOISER_SIZES[denoiser_size])
    denoiser, presets = replace(config.denoiser, inner_model=inner), config.presets
    if denoiser_size != "paper" and diffusion == EDM:
        denoiser = replace(denoiser, about_newest=True, sigma_data=SIGMA_CHANGE, sigma_offset_noise=0.0)
        quality = Preset(dynamics=SMALL_SAMPLER)
        presets = {"quality": quality, "fast": quality.with_steps(1)}
    return replace(
        config,
        denoiser=denoiser,
        presets=presets,
        reward_end=replace(config.reward_end, **REWARD_END_SIZES[reward_end_size]),
    )


Export = Callable[[Path, nn.Module, dict[str, Any]], None]


@dataclass(frozen=True)
class Component:
    """One component to train, with its settings."""

    name: str
    """``denoiser`` or ``reward_end``: its run folder and its file in the world."""
    config: DenoiserTrainingConfig | RewardEndTrainingConfig
    """Settings of its training."""
    updates: int
    """Total number of updates."""


COMPONENTS = ("denoiser", "reward_end")
"""The components of a world model, named as a world's files and attributes."""


@dataclass(frozen=True)
class WorldModelTraining:
    """Trains components one after the other, each in its own run folder, and exports them to ``out/world``."""

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
        training = {"seed": self.session.seed, **plain(component.config)}
        if component.name == "denoiser" and self.architecture.denoiser.diffusion != EDM:
            training["diffusion"] = self.architecture.denoiser.diffusion
        settings = {"game": self.architecture.game, **training}
        if self.init is not None:
            settings["init"] = self.init.config.name
        torch.manual_seed(self.session.seed)
        trainer = self._trainer(component)
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

    def _trainer(self, component: Component) -> DenoiserTrainer | RewardEndTrainer:
        folder, runtime, seed = self.data.episodes, self.session.runtime, self.session.seed
        export, workers = self._exporter(component.name), self.session.workers
        on_growth = self.session.console.print if workers.count == 1 else None  # they may notice it at different times
        if isinstance(component.config, DenoiserTrainingConfig):
            denoiser = Denoiser(self.architecture.denoiser)
            self._prepare(denoiser, "denoiser", denoiser.inner_model)
            return DenoiserTrainer(denoiser, folder, component.config, runtime, seed, export, on_growth, workers)
        assert self.architecture.reward_end is not None
        model = RewardEndModel(self.architecture.reward_end)
        self._prepare(model, "reward_end", model.encoder)
        dreamed = self._dreamed(component.config)
        return RewardEndTrainer(model, folder, component.config, runtime, seed, export, on_growth, workers, dreamed)

    def _dreamed(self, config: RewardEndTrainingConfig) -> DreamedSegments | None:
        """Dreams of ``init`` with its default preset. Raises ``UsageError`` if it is not given."""
        if config.dreamed_share == 0:
            return None
        workers = self.session.workers
        if self.init is None or len(workers.parts(config.batch_size)) * workers.count > 1:
            raise UsageError("--dreamed-share needs a world to dream in (--init), one process and whole batches")
        seed = derived_seed(self.session.seed, "dreamed segments")
        sampler = self.init.config.preset(None).dynamics
        return DreamedSegments(self.init.denoiser, sampler, config.dreamed_share, self.session.runtime, seed)

    def _prepare(self, network: nn.Module, name: str, compilable: nn.Module) -> None:
        if self.init is not None:
            self._start_from(self.init, network, name)
        if self.compiled:
            compilable.compile()

    def _start_from(self, world: World, network: nn.Module, name: str) -> None:
        trained = getattr(world, name)
        if trained is None:
            self.session.console.print(f"{world.config.name}, given as --init, has no {name}: it starts from nothing")
            return
        if isinstance(network, Denoiser) and trained.cfg.diffusion != network.cfg.diffusion:
            kind = trained.cfg.diffusion
            raise DiamondError(f"{world.config.name}, given as --init, was trained with --diffusion {kind}")
        if isinstance(network, Denoiser):
            before, now = (replace(cfg, inner_model=network.cfg.inner_model) for cfg in (trained.cfg, network.cfg))
            if before != now:
                raise DiamondError(f"{world.config.name}, given as --init, is of another --denoiser-size")
        load_strictly(network, trained.state_dict(), f"{name} of {world.config.name}")

    def _say_cost(self, component: Component, trainer: DenoiserTrainer | RewardEndTrainer) -> None:
        network = trainer.denoiser if isinstance(trainer, DenoiserTrainer) else trainer.network
        parameters = sum(p.numel() for p in network.parameters())
        episodes = self.data.episodes
        self.session.console.print(
            f"{component.name}: {parameters / 1e6:.2f}M parameters, {component.updates} updates of "
            f"{component.config.batch_size} segments from {len(episodes)} episodes ({episodes.num_steps} steps, up to "
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
        length = self._origin("denoiser").denoiser.inner_model.num_steps_conditioning
        contexts = EpisodeContexts(self.data.episodes, length, self.session.seed, STEPS_LEFT)
        write_contexts(self.session.out / "world" / "contexts.npz", contexts.draw(CONTEXTS))

    def _carry_over(self) -> None:
        for name in filter(self._is_carried, COMPONENTS):
            write_component(self.session.out / "world" / f"{name}.safetensors", getattr(self.init, name), torch.float32)

    def _say_dropped(self) -> None:
        if self.init is not None and self.init.actor_critic is not None:
            self.session.console.print(
                f"{self.init.config.name}, given as --init, has an agent: {self.session.out / 'world'} has none, as it "
                "learned in other dreams (put it in with 'diamond-train assemble --agent', or train one)"
            )

    def _is_carried(self, component: str) -> bool:
        """Whether the exported world has this component from ``init``."""
        return getattr(self.init, component, None) is not None and not (self.session.out / component).exists()

    def _exporter(self, component: str) -> Export:
        def export(folder: Path, network: nn.Module, provenance: dict[str, Any]) -> None:
            write_component(folder / f"{component}.safetensors", network, torch.float32)
            self._describe(folder, {component: provenance})

        return export

    def _describe(self, folder: Path, newest: dict[str, Any]) -> None:
        """Writes ``world.yaml`` for the components trained so far; the denoiser comes first."""
        if not (folder / "denoiser.safetensors").exists():
            return
        provenance = {**{name: self._known_provenance(name) for name in COMPONENTS}, **newest}
        if self.init is not None:
            provenance["init"] = origin_of(self.init)
        has_judge = (folder / "reward_end.safetensors").exists()
        drawing = self._origin("denoiser")
        config = replace(
            self.architecture,
            denoiser=drawing.denoiser,
            presets=drawing.presets,
            default_preset=drawing.default_preset,
            reward_end=self._origin("reward_end").reward_end if has_judge else None,
            actor_critic=None,
            provenance={name: value for name, value in provenance.items() if value},
        )
        write_text(folder / "world.yaml", to_yaml(config))

    def _origin(self, component: str) -> WorldConfig:
        """The configuration of the component's architecture."""
        return self.init.config if self.init is not None and self._is_carried(component) else self.architecture

    def _known_provenance(self, component: str) -> dict[str, Any]:
        if self.init is not None and self._is_carried(component):
            return self.init.config.provenance.get(component, {})
        return read_provenance(self.session.out / component)
