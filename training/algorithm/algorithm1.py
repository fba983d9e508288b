"""``diamond-train algorithm1 GAME``: a run of Algorithm 1, from scratch to a playable world and a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diamond_engine.configs import defaults, plain
from diamond_engine.errors import UsageError
from diamond_engine.games import Game
from training.algorithm.config import AlgorithmConfig
from training.algorithm.loop import Algorithm1
from training.algorithm.presets import PRESETS
from training.algorithm.replay import Replay
from training.components.shapes import check_actor_critic, check_inner_model, check_reward_end
from training.data.episodes import CACHE_BYTES, GameEpisodes
from training.data.segments import EVERY_STEP_ALIKE
from training.runs.run import Run
from training.runs.session import Session
from training.runs.settings import check_counts, configured


@dataclass(frozen=True)
class Algorithm1Training:
    """A run of Algorithm 1 on one game."""

    game: Game
    preset: str
    config: AlgorithmConfig
    session: Session
    static_data: Path | None = None
    """Episodes to learn from, instead of collecting."""

    def train(self) -> None:
        """Runs Algorithm 1 in ``session.out``, or continues it there.

        Raises ``UsageError`` if the folder holds something else, and what ``Run.follow`` raises.
        """
        session, out = self.session, self.session.out
        data = None if self.static_data is None else GameEpisodes(self.static_data, self.game)
        if data is None and not (out / "config.yaml").exists() and any((out / "episodes").glob("episode_*.h5")):
            raise UsageError(f"{out}/episodes holds episodes of no run: give them as --static-data, or another --out")
        run = Run(
            out,
            run_settings(self.game, session.seed, self.static_data, self.config),
            session.console,
            lambda: self._facts(data),
            checkpoint_every=60 * self.config.checkpoint_minutes,
            defaults=defaults(self.config),
        )
        episodes = Replay(out / "episodes", CACHE_BYTES) if data is None else data.episodes
        algorithm = Algorithm1(self.game, self.config, episodes, session)
        self._say_cost(algorithm)
        run.follow(algorithm, session.time_budget, out / "world")
        self._say_result(algorithm)

    def _facts(self, data: GameEpisodes | None) -> dict[str, Any]:
        return {
            "algorithm": "Algorithm 1 of Alonso et al. (2024)",
            "preset": self.preset,
            "hardware": self.session.runtime.describe(),
            "data": {"collected by": "the agent in training"} if data is None else data.facts(),
            "training": {"seed": self.session.seed, **plain(self.config)},
        }

    def _say_cost(self, algorithm: Algorithm1) -> None:
        say, left = self.session.console.print, algorithm.left()
        say(f"Algorithm 1 on {self.game.name} in {self.session.out}, on {self.session.runtime.describe()}")
        say(f"preset {self.preset}: {PRESETS[self.preset].expectation}")
        networks = {
            "denoiser": algorithm.denoiser.denoiser,
            "reward_end": algorithm.reward_end.network,
            "actor_critic": algorithm.actor_critic.network,
        }
        sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
        parts = ", ".join(f"{name} ({sizes[name] / 1e6:.2f}M parameters) {left[name]:,}" for name in networks)
        steps = f"{left['collect']:,} steps to collect" if left["collect"] else f"episodes of {self.static_data}"
        say(f"{steps}, about {algorithm.epochs:,} epochs, updates: {parts}")
        say(f"a checkpoint every {self.config.checkpoint_minutes:g} min, {16 * sum(sizes.values()) / 1e6:.0f} MB each")

    def _say_result(self, algorithm: Algorithm1) -> None:
        scores, out = algorithm.final_scores, self.session.out
        if scores:
            mean = sum(scores) / len(scores)
            self.session.console.print(f"finished: mean score {mean:.1f} in {len(scores)} games ({out / 'final.json'})")
        if (out / "world" / "world.yaml").exists():
            self.session.console.print(f"play it: diamond-play {self.game.world} --weights {out}")


def run_settings(game: Game, seed: int, static_data: Path | None, config: AlgorithmConfig) -> dict[str, Any]:
    """All settings that affect the result of a run."""
    return {"game": game.name, "seed": seed, "static_data": static_data and str(static_data), **plain(config)}


def algorithm_config(
    game: Game, preset: str, file: Path | None, assignments: Sequence[str], static: bool
) -> AlgorithmConfig:
    """A preset for a game, changed by the settings of a file and of the command line.

    Raises ``UsageError`` for unknown names, wrong types and invalid values.
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown --preset {preset!r}: use {' or '.join(PRESETS)}")
    config = PRESETS[preset].configure(game)
    if static:
        config = replace(
            config,
            denoiser=replace(config.denoiser, age_weights=EVERY_STEP_ALIKE),
            reward_end=replace(config.reward_end, age_weights=EVERY_STEP_ALIKE),
        )
    config = configured(config, file, assignments)
    _check(config, game)
    return config


def _check(config: AlgorithmConfig, game: Game) -> None:
    components = ("denoiser", "reward_end", "actor_critic")
    may_be_zero = {"denoiser.autoregressive_steps", "collection.first_rewards", "final_epochs"}
    may_be_zero |= {f"updates.{name}.per_epoch" for name in components}
    may_be_zero |= {f"{name}.optimiser.{steps}" for name in components for steps in ("warmup_steps", "decay_steps")}
    may_be_zero |= {"denoiser.crop_size", "denoiser.scan", "actor_critic.kickstart_updates"}
    check_counts(config, may_be_zero)
    if config.actor_critic.kickstart_updates:
        raise UsageError("actor_critic.kickstart_updates must be 0: a scripted player is for --model-free")
    if config.reward_end.dreamed_share:
        raise UsageError("reward_end.dreamed_share must be 0: it is for a world whose denoiser is trained already")
    if not 0 <= config.collection.epsilon <= 1:
        raise UsageError(f"collection.epsilon must lie between 0 and 1, not {config.collection.epsilon}")
    if config.networks.denoiser.diffusion != config.imagination.sampler.diffusion:
        raise UsageError("networks.denoiser.diffusion and imagination.sampler.diffusion must be the same")
    for name in components:
        rate = getattr(config, name).optimiser.learning_rate
        if not rate > 0:
            raise UsageError(f"{name}.optimiser.learning_rate must be more than 0, not {rate}")
    networks = config.networks
    inner, judge, agent = networks.denoiser.inner_model, networks.reward_end, networks.actor_critic
    levels = {
        "denoiser.inner_model": (inner.channels, inner.depths, inner.attn_depths),
        "reward_end": (judge.channels,) if judge.pooled else (judge.channels, judge.depths, judge.attn_depths),
        "actor_critic": (agent.channels, agent.down),
    }
    for name, per_level in levels.items():
        if len({len(values) for values in per_level}) != 1:
            raise UsageError(
                f"networks.{name}: give as many values per level everywhere: {', '.join(map(str, per_level))}"
            )
    for part in (inner, judge, agent):
        if part.num_actions != len(game.actions):
            raise UsageError(f"num_actions must be {len(game.actions)} for {game.name}, not {part.num_actions}")
    check_inner_model("denoiser.inner_model", inner)
    check_reward_end("reward_end", judge)
    check_actor_critic("actor_critic", agent)
