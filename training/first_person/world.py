"""Trains the stages of a first-person world and keeps a world folder up to date (``diamond-train csgo``)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from diamond_engine.actions import csgo
from diamond_engine.checkpoints import load_strictly, write_component
from diamond_engine.configs import defaults, plain
from diamond_engine.contexts import write_contexts
from diamond_engine.diffusion import Denoiser
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import write_text
from diamond_engine.world_model import World
from diamond_engine.worlds import DiffusionPreset, DiffusionWorldConfig
from training.first_person.config import PRESETS, SAMPLERS, FirstPersonConfig
from training.first_person.footage import Footage, draw_contexts
from training.first_person.recordings import FACTOR
from training.first_person.stage import StageConfig, StageTrainer
from training.runs.facts import read_provenance
from training.runs.progress import duration
from training.runs.run import Run
from training.runs.session import Session
from training.runs.trained import origin_of

FILES = {"dynamics": "denoiser", "upsampler": "upsampler"}
"""Names of the stages' networks in a world folder."""


@dataclass(frozen=True)
class FirstPersonTraining:
    """Trains stages one after the other, each in its own run folder, and exports them to ``out/world``."""

    preset: str
    config: FirstPersonConfig
    footage: Footage
    """Training data."""
    session: Session
    init: World | None = None
    """A world with initial weights for stages that have not begun."""
    compiled: bool = False
    """Whether to run the networks through ``torch.compile``."""

    def train(self, stages: Sequence[str]) -> None:
        """Trains ``dynamics``, ``upsampler`` or both. Each gets an equal share of the remaining time budget.

        Raises ``UsageError`` if a run folder holds a run with other settings, ``DiamondError`` if a process is lost or
        sees other data, and what ``Run.train`` raises.
        """
        workers, runtime = self.session.workers, self.session.runtime
        for stage in stages:
            getattr(self.config, stage).share(workers)
            self._check_patches(stage)
        with workers.joined(runtime.device):
            workers.check_alike({"recordings": self.footage.describe(), "precision": runtime.dtype_name})
            self._train(stages)

    def _train(self, stages: Sequence[str]) -> None:
        say, out = self.session.console.print, self.session.out
        say(f"preset {self.preset}: {PRESETS[self.preset].expectation}")
        say(f"{self.footage.describe()}; on {self.session.runtime.describe()}")
        runs = {stage: self._run(stage) for stage in stages}
        if self.session.workers.leads:
            self._write_contexts()
        started = time.monotonic()
        for i, (stage, run) in enumerate(runs.items()):
            budget = self.session.time_budget
            if budget is not None:
                budget = max(0.0, budget - (time.monotonic() - started)) / (len(runs) - i)
            trainer = self._trainer(stage)
            self._say_cost(stage, trainer)
            if self.compiled:  # only now: the cost is that of a batch of another size
                trainer.denoiser.inner_model.compile()
            run.train(trainer, trainer.cfg.updates, budget, out / "world")
        if (out / "world" / "world.yaml").exists():
            say(f"play it: diamond-play csgo --weights {out}")

    def _check_patches(self, stage: str) -> None:
        patch = getattr(self.config.networks, stage).inner_model.patch_size
        factor = 1 if stage == "upsampler" else FACTOR
        height, width = (side // factor for side in self.footage.size)
        if height % patch or width % patch:
            raise UsageError(
                f"networks.{stage}.inner_model.patch_size: patches of {patch}x{patch} do not fill frames of "
                f"{width}x{height}"
            )

    def _write_contexts(self) -> None:
        context = self.config.networks.dynamics.inner_model.num_steps_conditioning
        contexts = draw_contexts(
            self.footage, self.config.contexts, context, self.config.recorded_actions, self.session.seed
        )
        write_contexts(self.session.out / "world" / "contexts.npz", contexts)

    def _run(self, stage: str) -> Run:
        settings = {
            "seed": self.session.seed,
            "network": plain(getattr(self.config.networks, stage)),
            **_shaping(getattr(self.config, stage)),
        }
        seconds = 60 * self.config.checkpoint_minutes
        return Run(
            self.session.out / stage,
            settings,
            self.session.console,
            lambda: self._facts(stage, settings),
            checkpoint_every=seconds,
            workers=self.session.workers,
            defaults={
                "network": defaults(getattr(self.config.networks, stage)),
                **defaults(getattr(self.config, stage)),
            },
        )

    def _trainer(self, stage: str) -> StageTrainer:
        torch.manual_seed(self.session.seed)
        denoiser = Denoiser(getattr(self.config.networks, stage))
        if self.init is not None:
            trained = self.init.networks.get(FILES[stage])
            if trained is None:
                raise DiamondError(f"{self.init.config.name}, given as --init, has no {FILES[stage]}")
            load_strictly(denoiser, trained.state_dict(), f"{FILES[stage]} of {self.init.config.name}")

        def export(folder: Path, network: Denoiser, provenance: dict[str, Any]) -> None:
            write_component(folder / f"{FILES[stage]}.safetensors", network, torch.float32)
            self._describe(folder, {FILES[stage]: provenance})

        config: StageConfig = getattr(self.config, stage)
        session = self.session
        return StageTrainer(denoiser, self.footage, config, session.runtime, session.seed, export, session.workers)

    def _say_cost(self, stage: str, trainer: StageTrainer) -> None:
        cfg, cost = trainer.cfg, trainer.cost()
        parameters = sum(p.numel() for p in trainer.denoiser.parameters())
        self.session.console.print(
            f"{stage}: {parameters / 1e6:.2f}M parameters, {cfg.updates:,} updates of {cfg.accumulation} x "
            f"{cfg.batch_size} segments of {trainer.length} frames; about {cost.memory / 2**30:.2f} GiB of memory and, "
            f"one segment at a time, {duration(cost.seconds * cfg.updates)} ({cost.seconds:.2f} s an update)"
        )

    def _facts(self, stage: str, settings: dict[str, Any]) -> dict[str, Any]:
        return {
            "preset": self.preset,
            "hardware": self.session.runtime.describe(),
            "data": self.footage.describe(),
            "training": settings,
            **({} if self.init is None else {"init": origin_of(self.init, FILES[stage])}),
        }

    def _describe(self, folder: Path, newest: dict[str, Any]) -> None:
        """Writes ``world.yaml`` for the stages trained so far; the dynamics come first."""
        if not (folder / "denoiser.safetensors").exists():
            return
        two_stages = (folder / "upsampler.safetensors").exists()
        networks = self.config.networks
        height, width = (side if two_stages else side // FACTOR for side in self.footage.size)
        provenance = {**{file: self._known_provenance(stage) for stage, file in FILES.items()}, **newest}
        world = DiffusionWorldConfig(
            name=self.config.name,
            game=None,
            denoiser=networks.dynamics,
            upsampler=networks.upsampler if two_stages else None,
            frame_rate=self.config.frame_rate,
            frame_height=height,
            frame_width=width,
            presets={name: self._sampled(preset, two_stages) for name, preset in SAMPLERS.items()},
            default_preset=self.config.default_preset,
            provenance={name: value for name, value in provenance.items() if value},
            key_map=None if self.footage.key_map == csgo.KEY_MAP else self.footage.key_map,
        )
        write_text(folder / "world.yaml", world.to_yaml())

    def _sampled(self, preset: DiffusionPreset, two_stages: bool) -> DiffusionPreset:
        """Adapts presets to the training: no context noise for dynamics trained without it."""
        noisy = self.config.networks.dynamics.noise_previous_obs
        dynamics = preset.dynamics if noisy else replace(preset.dynamics, s_cond=0.0)
        return replace(preset, dynamics=dynamics, upsampler=preset.upsampler if two_stages else None)

    def _known_provenance(self, stage: str) -> dict[str, Any]:
        return read_provenance(self.session.out / stage)


def _shaping(config: StageConfig) -> dict[str, Any]:
    """The settings that affect the result, without the number of updates: a run may get more later."""
    return {name: value for name, value in plain(config).items() if name != "updates"}


def chosen_stages(names: str) -> list[str]:
    """The stages named in a list with commas, in the order in which they are trained."""
    named = [name.strip() for name in names.split(",")]
    unknown = [name for name in named if name not in FILES]
    if unknown:
        raise UsageError(f"unknown component {unknown[0]!r} in --components: use {', '.join(FILES)}")
    return [stage for stage in FILES if stage in named]
