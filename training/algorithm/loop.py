"""Algorithm 1 of the paper, a loop: collect experience, learn the world from it, learn to act in its dreams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diamond_engine.agents import Agent
from diamond_engine.checkpoints import write_component
from diamond_engine.contexts import StartContexts, write_contexts
from diamond_engine.diffusion import DDPM, Denoiser
from diamond_engine.episodes import EpisodeFolder
from diamond_engine.files import write_text
from diamond_engine.games import Game
from diamond_engine.networks import ActorCritic, RewardEndModel
from diamond_engine.worlds import DiffusionPreset, DiffusionWorld, DiffusionWorldConfig, as_ddpm, paper_config
from training.algorithm.config import AlgorithmConfig, Updates
from training.algorithm.dreams import Dreams
from training.algorithm.experience import Experience
from training.algorithm.replay import Replay
from training.components.actor_critic import ActorCriticTrainer
from training.components.denoiser import DenoiserTrainer
from training.components.reward_end import RewardEndTrainer
from training.data.segments import EpisodeContexts
from training.evaluation.scores.agent import play_games
from training.runs.procedure import Metrics, Work, updates_of
from training.runs.seeds import derived_seed
from training.runs.session import Session

CONTEXTS = 64
STEPS_LEFT = 16


class _GivenUpError(Exception):
    """Games were abandoned in the middle."""


class Algorithm1:
    """A ``Procedure``: after every piece of work its state can be saved, and a run continues from it exactly."""

    def __init__(self, game: Game, cfg: AlgorithmConfig, episodes: Replay | EpisodeFolder, session: Session) -> None:
        """Collects into ``episodes`` if they are a ``Replay``; other episodes are static."""
        self.epoch = 1
        self.final_scores: list[float] = []
        """Scores of the games after the last epoch, once they are played."""
        self._game, self._cfg, self._session, self._episodes = game, cfg, session, episodes
        self._first_steps = cfg.collection.first_min
        self._tested = 0
        runtime, seed = session.runtime, session.seed
        torch.manual_seed(derived_seed(seed, "weights"))
        networks = cfg.networks
        self.denoiser = DenoiserTrainer(
            Denoiser(networks.denoiser),
            episodes,
            cfg.denoiser,
            runtime,
            derived_seed(seed, "denoiser"),
            _export_as("denoiser"),
        )
        self.reward_end = RewardEndTrainer(
            RewardEndModel(networks.reward_end),
            episodes,
            cfg.reward_end,
            runtime,
            derived_seed(seed, "reward_end"),
            _export_as("reward_end"),
        )
        actions = len(game.actions)
        drawing = DiffusionPreset(dynamics=cfg.imagination.sampler)
        self._dreams = Dreams(episodes, cfg.denoiser.age_weights, actions, cfg.imagination.batch_size, drawing, runtime)
        self.actor_critic = ActorCriticTrainer(
            ActorCritic(networks.actor_critic),
            self._dreams,
            cfg.actor_critic,
            runtime,
            derived_seed(seed, "actor_critic"),
            _export_as("actor_critic"),
            fresh=True,
        )
        self._experience: Experience | None = None
        if isinstance(episodes, Replay):
            policy, epsilon = self.actor_critic.network, cfg.collection.epsilon
            self._experience = Experience(game, policy, episodes, epsilon, runtime, derived_seed(seed, "collection"))

    def work(self, stopping: Callable[[], bool]) -> Iterator[Work]:
        """``training_loop`` of Algorithm 1.

        Every stage knows its total by the end of the epoch, so that a continued run skips what is done.
        """
        if self._experience is not None:
            self._experience.restore_replay()
        with suppress(_GivenUpError):
            while self.epoch <= self.epochs:
                yield from self._collect_experience()
                yield from self._update_diffusion_model()
                yield from self._update_reward_end_model()
                yield from self._update_actor_critic()
                yield from self._test(stopping)
                self.epoch += 1
            yield from self._play_final_games(stopping)

    @property
    def epochs(self) -> int:
        """Number of epochs; an estimate until the first has collected its steps."""
        cfg = self._cfg.collection
        further = -(-max(0, cfg.steps - self._first_steps) // cfg.per_epoch)
        return 1 + further + self._cfg.final_epochs

    def _collect_experience(self) -> Iterator[Work]:
        experience = self._experience
        if experience is None:
            return
        while experience.steps < (until := self._steps_by_now(experience.minority_rewards)):
            metrics = experience.step()
            yield self._done("collect", experience.steps, until, metrics, notable=bool(metrics), unit="step")
        experience.file()
        if self.epoch == 1:
            self._first_steps = experience.steps

    def _steps_by_now(self, rewards: int) -> int:
        """Steps that the replay should hold by the end of this epoch; in the first, more while it has few rewards."""
        cfg = self._cfg.collection
        if self.epoch > 1:
            return min(cfg.steps, self._first_steps + cfg.per_epoch * (self.epoch - 1))
        return min(cfg.steps, cfg.first_min if rewards >= cfg.first_rewards else cfg.first_max)

    def _update_diffusion_model(self) -> Iterator[Work]:
        return self._updates("denoiser", self.denoiser, self._cfg.updates.denoiser)

    def _update_reward_end_model(self) -> Iterator[Work]:
        return self._updates("reward_end", self.reward_end, self._cfg.updates.reward_end)

    def _update_actor_critic(self) -> Iterator[Work]:
        with self.denoiser.averaged():
            self._dreams.enter(self._world())
        return self._updates("actor_critic", self.actor_critic, self._cfg.updates.actor_critic)

    def _updates(
        self, part: str, trainer: DenoiserTrainer | RewardEndTrainer | ActorCriticTrainer, updates: Updates
    ) -> Iterator[Work]:
        for work in updates_of(part, trainer, trainer.optimiser.updates, updates.by(self.epoch)):
            yield self._done(part, work.done, work.until, work.metrics, work.notable)

    def _test(self, stopping: Callable[[], bool]) -> Iterator[Work]:
        cfg = self._cfg.test
        if self.epoch % cfg.every == 0 and self._tested < self.epoch:
            scores = self._play_games(cfg.games, "test", stopping)
            self._tested = self.epoch
            self._session.console.print(
                f"epoch {self.epoch} of {self.epochs}: {_mean(scores):.1f} in {cfg.games} games"
            )
            yield self._done("test", self.epoch, self.epochs, {"score": torch.tensor(_mean(scores))}, unit="epoch")

    def _play_final_games(self, stopping: Callable[[], bool]) -> Iterator[Work]:
        count, already = self._cfg.test.final_games, bool(self.final_scores)
        if not already:
            self._session.console.print(f"playing {count} final games")
            self.final_scores = self._play_games(count, "final", stopping)
        mean = _mean(self.final_scores)
        result = {"game": self._game.name, "seed": self._session.seed, "scores": self.final_scores, "mean": mean}
        write_text(self._session.out / "final.json", json.dumps(result) + "\n")
        if not already:
            yield self._done("final", count, count, {"score": torch.tensor(mean)}, unit="game")

    def _play_games(self, count: int, purpose: str, stopping: Callable[[], bool]) -> list[float]:
        """Scores of the agent in whole games. The state of the run does not change."""

        def give_up(games: int) -> None:
            if stopping():
                raise _GivenUpError

        seeds = (derived_seed(self._session.seed, purpose, self.epoch, of) for of in ("actions", "games"))
        agent = Agent(self.actor_critic.network, self._session.runtime, next(seeds))
        games = play_games(self._game, agent, count, next(seeds), self._cfg.test.max_steps, give_up)
        return games.scores.tolist()

    def _done(
        self, part: str, done: int, until: int, metrics: Metrics, notable: bool = True, unit: str = "update"
    ) -> Work:
        named = {f"{part}/{name}": value for name, value in metrics.items()}
        return Work(part, done, until, {"epoch": torch.tensor(self.epoch), **named}, notable, unit)

    def left(self) -> dict[str, int]:
        """See ``Procedure.left``."""
        updates, steps = self._cfg.updates, 0 if self._experience is None else self._experience.steps
        return {
            "collect": 0 if self._experience is None else self._cfg.collection.steps - steps,
            "denoiser": updates.denoiser.by(self.epochs) - self.denoiser.optimiser.updates,
            "reward_end": updates.reward_end.by(self.epochs) - self.reward_end.optimiser.updates,
            "actor_critic": updates.actor_critic.by(self.epochs) - self.actor_critic.optimiser.updates,
        }

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers, random states, counters, and the positions of the replay and of the unfinished game."""
        return {
            "epoch": self.epoch,
            "first_steps": self._first_steps,
            "tested": self._tested,
            "final_scores": self.final_scores,
            "denoiser": self.denoiser.state_dict(),
            "reward_end": self.reward_end.state_dict(),
            "actor_critic": self.actor_critic.state_dict(),
            "experience": None if self._experience is None else self._experience.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.epoch, self._first_steps, self._tested = state["epoch"], state["first_steps"], state["tested"]
        self.final_scores = state["final_scores"]
        self.denoiser.load_state_dict(state["denoiser"])
        self.reward_end.load_state_dict(state["reward_end"])
        self.actor_critic.load_state_dict(state["actor_critic"])
        if self._experience is not None:
            self._experience.load_state_dict(state["experience"])

    def _world(self, provenance: dict[str, Any] | None = None) -> DiffusionWorld:
        """The world as far as it is trained; the denoiser comes first."""
        reward_end = self.reward_end.network if self.reward_end.optimiser.updates else None
        actor_critic = self.actor_critic.network if self.actor_critic.optimiser.updates else None
        paper = paper_config(self._game)
        config = replace(
            as_ddpm(paper) if self._cfg.networks.denoiser.diffusion == DDPM else paper,
            denoiser=self._cfg.networks.denoiser,
            reward_end=reward_end and reward_end.cfg,
            actor_critic=actor_critic and actor_critic.cfg,
            provenance=provenance or {},
        )
        return DiffusionWorld(
            config=config, denoiser=self.denoiser.denoiser, reward_end=reward_end, actor_critic=actor_critic
        )

    def export(self, folder: Path, provenance: dict[str, Any]) -> None:
        """Writes the world as far as it is trained; it is playable once there is a denoiser."""
        if self.denoiser.optimiser.updates == 0:
            return
        config = self._world(provenance).config
        self.denoiser.export(folder, provenance)
        for trained, trainer in ((config.reward_end, self.reward_end), (config.actor_critic, self.actor_critic)):
            if trained is not None:
                trainer.export(folder, provenance)
        write_contexts(folder / "contexts.npz", self._contexts(config))
        write_text(folder / "world.yaml", config.to_yaml())

    def _contexts(self, config: DiffusionWorldConfig) -> StartContexts:
        length = config.context_length
        longest = int(self._episodes.lengths.max())
        steps_left = max(1, min(STEPS_LEFT, longest - length + 1))
        return EpisodeContexts(self._episodes, length, self._session.seed, steps_left).draw(CONTEXTS)


def _export_as(component: str) -> Callable[[Path, nn.Module, dict[str, Any]], None]:
    def export(folder: Path, network: nn.Module, provenance: dict[str, Any]) -> None:
        write_component(folder / f"{component}.safetensors", network, torch.float32)

    return export


def _mean(scores: list[float]) -> float:
    return sum(scores) / len(scores)
