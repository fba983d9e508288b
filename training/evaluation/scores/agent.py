"""Scores of whole real games. Shapes: N games side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.agents import Policy
from diamond_engine.emulators import open_emulator
from diamond_engine.frames import from_numpy
from diamond_engine.games import Game
from training.runs.progress import Show


@dataclass(frozen=True)
class Games:
    """N games, played to the end or to a limit."""

    scores: NDArray[np.float64]
    """Sum of the unclipped rewards ``(N,)``."""
    lengths: NDArray[np.int64]
    """Actions taken ``(N,)``."""
    truncated: NDArray[np.bool_]
    """Stopped by a limit before the game was over ``(N,)``."""


def play_games(
    game: Game,
    policy: Policy,
    count: int,
    seed: int,
    max_steps: int,
    show: Show = lambda done: None,
) -> Games:
    """Plays one whole game in each of ``count`` slots, for at most ``max_steps`` actions each.

    The first N games to finish among parallel ones would be the short ones, hence one game a slot: a slot whose game
    is over is played on and ignored. The policy's state is never reset, lost lives included.
    """
    emulator = open_emulator(game, count, seed=seed)
    frames = emulator.reset()
    scores, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
    playing, completed = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    for _ in range(max_steps):
        actions = policy.act(from_numpy(frames, torch.device("cpu"))).cpu().numpy()
        result = emulator.step(actions)
        frames = result.frames
        scores[playing] += result.rewards[playing]
        lengths[playing] += 1
        completed |= playing & result.terminated
        playing &= ~result.game_over
        show(count - int(playing.sum()))
        if not playing.any():
            break
    emulator.close()
    return Games(scores, lengths, truncated=~completed)
