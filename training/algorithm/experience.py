"""Collects experience for Algorithm 1 from the real game, with the policy that is being trained.

Shapes: H height, W width, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diamond_engine.emulators import open_emulator
from diamond_engine.episodes import Episode
from diamond_engine.frames import from_numpy
from diamond_engine.games import Game
from diamond_engine.networks import ActorCritic
from diamond_engine.runtime import Runtime
from training.algorithm.replay import Replay
from training.data.collect import Recording
from training.runs.procedure import Metrics
from training.runs.seeds import derived_seed


@dataclass(frozen=True)
class CollectionConfig:
    """Settings of the collection; the defaults are the paper's (Table 4)."""

    steps: int = 100_000
    """Total number of real steps."""
    first_min: int = 5_000
    """Steps of the first epoch, if they hold enough rewards."""
    first_max: int = 10_000
    """Steps after which the first epoch stops looking for rewards."""
    first_rewards: int = 10
    """Steps with a rare reward sign that the first epoch looks for."""
    per_epoch: int = 100
    """Steps of every further epoch."""
    epsilon: float = 0.01
    """Probability of a random action ε."""


class Experience:
    """Plays one real game after the other and files the steps in the replay. A lost life ends an episode.

    Every game has its own seed, so that its number and its actions are enough to restore it.
    """

    def __init__(
        self, game: Game, policy: ActorCritic, replay: Replay, epsilon: float, runtime: Runtime, seed: int
    ) -> None:
        self.steps = 0
        self.sign_counts = [0, 0, 0]
        """Numbers of steps with a negative, zero and positive reward."""
        self._replay = replay
        self._policy = policy
        self._epsilon = epsilon
        self._runtime = runtime
        self._seed = seed
        self._attributes = {"game": game.name, "policy": "agent in training", "epsilon": epsilon, "seed": seed}
        self._rng = torch.Generator().manual_seed(derived_seed(seed, "actions"))
        self._emulator = open_emulator(game, seed=seed, end_on_life_loss=True)
        self._state = policy.initial_state(1)
        self._whole = 0
        self._game = 0
        self._start_game()

    def _start_game(self) -> None:
        self._frames = self._emulator.reset(derived_seed(self._seed, "game", self._game))
        self._actions: list[int] = []
        self._recording = Recording()

    @property
    def minority_rewards(self) -> int:
        """Number of steps without the most common reward sign."""
        return sum(sorted(self.sign_counts)[:-1])

    def step(self) -> Metrics:
        """Takes one action; returns length and return of the episode if it ended one."""
        reward, episode, game_over = self._play(self._choose())
        self.steps += 1
        self.sign_counts[int(np.sign(reward)) + 1] += 1
        if episode is None:
            return {}
        self._replay.put(episode, whole=True)
        self._whole += 1
        self._state = self._policy.initial_state(1)
        if game_over:
            self._game += 1
            self._start_game()
        return {"return": torch.tensor(episode.score), "length": torch.tensor(len(episode))}

    def file(self) -> None:
        """Files the unfinished episode as it is so far; it grows with the next steps."""
        if self._recording.actions:
            self._replay.put(self._recording.finish(self._frames[0], False, True, self._attributes), whole=False)

    @torch.no_grad()
    def _choose(self) -> int:
        """ε-greedy in the paper's sense: the policy's own draw, or a uniform one with probability ε."""
        with self._runtime.autocast():
            logits, _, self._state = self._policy(from_numpy(self._frames, self._runtime.device), self._state)
        drawn = torch.multinomial(logits.float().softmax(-1).cpu(), 1, generator=self._rng)
        uniform = torch.randint(logits.shape[1], (1,), generator=self._rng)
        explores = torch.rand(1, generator=self._rng) < self._epsilon
        return int(uniform if explores else drawn)

    def _play(self, action: int) -> tuple[float, Episode | None, bool]:
        """Takes an action; returns its reward, the episode if it ended one, and whether the game is over."""
        result = self._emulator.step(np.array([action]))
        reward, terminated, truncated = float(result.rewards[0]), bool(result.terminated[0]), bool(result.truncated[0])
        self._actions.append(action)
        self._recording.add(self._frames[0], action, reward)
        self._frames = result.frames
        episode = None
        if terminated or truncated:
            episode = self._recording.finish(result.successors[0].copy(), terminated, truncated, self._attributes)
            self._recording = Recording()
        return reward, episode, bool(result.game_over[0])

    def restore_replay(self) -> None:
        """Removes what was filed since the state was saved, so that the replay is the same as then."""
        self._replay.cut_back(self._whole)
        self.file()

    def state_dict(self) -> dict[str, Any]:
        """Counters, random state, the policy's state, and the actions of the unfinished game."""
        return {
            "steps": self.steps,
            "sign_counts": list(self.sign_counts),
            "whole": self._whole,
            "game": self._game,
            "actions": torch.tensor(self._actions, dtype=torch.int64),
            "policy": [half.clone() for half in self._state],
            "rng": self._rng.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``: replays the unfinished game up to its last step."""
        self.steps, self.sign_counts = state["steps"], list(state["sign_counts"])
        self._whole, self._game = state["whole"], state["game"]
        self._start_game()
        for action in state["actions"].tolist():
            self._play(action)
        self._state = _pair(state["policy"], self._runtime)
        self._rng.set_state(state["rng"])


def _pair(halves: list[Tensor], runtime: Runtime) -> tuple[Tensor, Tensor]:
    hidden, cell = (half.to(runtime.device) for half in halves)
    return hidden, cell
