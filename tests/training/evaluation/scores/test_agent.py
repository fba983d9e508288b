"""Whole real games."""

import numpy as np
import torch
from torch import Tensor

from diamond_engine.agents import RandomPolicy
from diamond_engine.emulators import open_emulator
from diamond_engine.games import atari_game
from training.evaluation.scores.agent import play_games

BREAKOUT = atari_game("Breakout")


def test_every_slot_plays_one_whole_game() -> None:
    games = play_games(BREAKOUT, RandomPolicy(4, seed=5), count=3, seed=11, max_steps=3000)
    emulator = open_emulator(BREAKOUT, 3, seed=11)
    frames = emulator.reset()
    policy = RandomPolicy(4, seed=5)
    scores, lengths = np.zeros((3000, 3)), np.full(3, -1)
    for step in range(games.lengths.max()):
        result = emulator.step(policy.act(torch.from_numpy(frames)).numpy())
        scores[step] = result.rewards
        lengths = np.where((lengths < 0) & result.game_over, step + 1, lengths)
    emulator.close()
    assert games.lengths.tolist() == lengths.tolist()
    assert games.scores.tolist() == [scores[: lengths[i], i].sum() for i in range(3)]
    assert not games.truncated.any()


def test_games_beyond_the_limit_are_truncated() -> None:
    games = play_games(BREAKOUT, RandomPolicy(4, seed=5), count=2, seed=11, max_steps=10)
    assert games.lengths.tolist() == [10, 10]
    assert games.truncated.all()


class RecordingPolicy:
    """Random play that notes what it is told to forget."""

    def __init__(self) -> None:
        self.resets = 0
        self._random = RandomPolicy(4, seed=5)

    def act(self, obs: Tensor) -> Tensor:
        return self._random.act(obs)

    def reset(self, mask: Tensor | None = None) -> None:
        self.resets += 1


def test_the_policy_remembers_across_lives() -> None:
    policy = RecordingPolicy()
    games = play_games(BREAKOUT, policy, count=1, seed=11, max_steps=3000)
    assert not games.truncated.any()
    assert policy.resets == 0
