"""Trains the agent, in imagination or on the real game (``diamond-train agent`` and ``algorithm1``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from diamond_engine.agents import Policy, write_agent
from diamond_engine.configs import defaults, plain
from diamond_engine.emulators import open_emulator
from diamond_engine.environment import BatchedEnv, EmulatorEnv
from diamond_engine.errors import DiamondError
from diamond_engine.games import Game
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.networks import ActorCritic, ActorCriticConfig
from diamond_engine.reinforcement import ActorCriticLossConfig
from diamond_engine.world_model import World
from diamond_engine.worlds import paper_config, write_world
from training.algorithm.dreams import Dreams
from training.components.actor_critic import ActorCriticTrainer, ActorCriticTrainingConfig
from training.components.optimisation import OptimiserConfig
from training.data.episodes import GameEpisodes
from training.data.scripted import TRACKER, scripted_policy
from training.data.segments import EVERY_STEP_ALIKE
from training.runs.run import Run
from training.runs.session import Session

MODEL_FREE = ActorCriticTrainingConfig(
    loss=ActorCriticLossConfig(weight_value=0.5),
    optimiser=OptimiserConfig(learning_rate=6e-4, weight_decay=0.0, epsilon=1e-6, max_grad_norm=1.0),
)
"""Defaults on the real emulator, where data is cheap and unrepeated: larger steps, clipped harder."""

SIZES: dict[str, dict[str, Any]] = {"paper": {}, "small": {"channels": (8, 16, 32, 64), "lstm_dim": 256}}
"""Sizes of the actor-critic, as differences from the paper's. ``small`` learns about 4 times as fast on a CPU."""


@dataclass(frozen=True)
class AgentTraining:
    """Settings of both ways of training an agent."""

    game: Game
    config: ActorCriticTrainingConfig
    updates: int
    """Total number of updates."""
    num_envs: int
    """Environments B."""
    session: Session
    snapshots_every: int | None = None
    """Updates between agents kept in ``snapshots/``."""
    size: str = "paper"
    """Key of ``SIZES``."""

    def in_imagination(self, world: World, preset: str | None, data: GameEpisodes | None) -> None:
        """Trains in a world's dreams, which start from ``data`` or else from its contexts; exports world and agent.

        Raises ``DiamondError`` for a world without a reward/end model or without start contexts. The game's scripted
        policy may kickstart the agent, as in ``model_free``; it reads the dreamed frames.
        """
        if not world.judges:
            raise DiamondError(f"{world.config.name} has no reward/end model: an agent has nothing to learn from there")
        if data is None and world.contexts is None:
            raise DiamondError(f"{world.config.name} has no start contexts: give episodes with --data")
        session, runtime = self.session, self.session.runtime
        env: BatchedEnv
        if data is None:
            env = WorldModelEnv(world, self.num_envs, str(runtime.device), preset, dtype=runtime.dtype_name)
        else:
            env = Dreams(
                data.episodes,
                EVERY_STEP_ALIKE,
                len(self.game.actions),
                self.num_envs,
                world.config.preset(preset),
                runtime,
            )
            env.enter(world)

        def export(folder: Path, network: ActorCritic, provenance: dict[str, Any]) -> None:
            origin = {**world.config.provenance, "agent": provenance}
            config = replace(world.config, actor_critic=network.cfg, provenance=origin)
            write_world(folder, replace(world, config=config, actor_critic=network))

        tutor = self._tutor()
        facts: dict[str, Any] = {"environment": f"imagination in {world.config.name}{_kickstarted(tutor)}"}
        if data is not None:
            facts["data"] = data.facts()
        trainer = ActorCriticTrainer(
            self._network(), env, self.config, runtime, session.seed, export, teacher=tutor, fresh=True
        )
        self._train(trainer, env, facts, session.out / "world")

    def model_free(self) -> None:
        """Trains on the real emulator, a lost life ending an episode; exports the agent alone.

        If ``config.kickstart_updates`` is above 0, the game's scripted policy kickstarts the agent; raises
        ``UsageError`` if it has none.
        """
        session = self.session
        tutor = self._tutor()
        emulator = open_emulator(self.game, self.num_envs, seed=session.seed, end_on_life_loss=True)
        env = EmulatorEnv(emulator, session.runtime.device)

        def export(folder: Path, network: ActorCritic, provenance: dict[str, Any]) -> None:
            write_agent(folder, self.game.name, network, provenance)

        trainer = ActorCriticTrainer(
            self._network(), env, self.config, session.runtime, session.seed, export, lambda: env.finished_scores, tutor
        )
        environment = f"the real emulator (model-free){_kickstarted(tutor)}"
        try:
            self._train(trainer, env, {"environment": environment}, session.out / "agent")
        finally:
            emulator.close()

    def _tutor(self) -> Policy | None:
        return scripted_policy(self.game, self.session.seed, spread=0.0) if self.config.kickstart_updates > 0 else None

    def _network(self) -> ActorCritic:
        torch.manual_seed(self.session.seed)
        return ActorCritic(self._architecture())

    def _architecture(self) -> ActorCriticConfig:
        paper = paper_config(self.game).actor_critic
        assert paper is not None
        return replace(paper, **SIZES[self.size])

    def _train(self, trainer: ActorCriticTrainer, env: BatchedEnv, facts: dict[str, Any], export_to: Path) -> None:
        session = self.session
        training = {"seed": session.seed, "num_envs": env.num_envs, "size": self.size, **plain(self.config)}
        origin = {"hardware": session.runtime.describe(), **facts, "training": training}
        settings = {"game": self.game.name, **training}
        run = Run(
            session.out,
            settings,
            session.console,
            lambda: origin,
            snapshots_every=self.snapshots_every,
            defaults={"size": AgentTraining.size, **defaults(self.config)},
        )
        parameters = sum(p.numel() for p in trainer.network.parameters())
        session.console.print(
            f"agent: {parameters / 1e6:.2f}M parameters, {self.updates} updates of {env.num_envs} × "
            f"{self.config.horizon} steps, {facts['environment']}, on {session.runtime.describe()}"
        )
        run.train(trainer, self.updates, session.time_budget, export_to)


def _kickstarted(tutor: Policy | None) -> str:
    return f", kickstarted by the {TRACKER}" if tutor else ""
