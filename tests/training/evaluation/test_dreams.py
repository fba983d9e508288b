"""Dreaming on from real frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from diamond_engine.episodes import EpisodeFolder, cut
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming, dream


def test_dreams_follow_context_actions_and_seed(world: World, how: Dreaming, episode_folder: Path) -> None:
    row = cut(EpisodeFolder(episode_folder)[0], 0, 4 + 6)
    frames, actions = row["frames"][None, :4].astype(np.uint8), row["actions"][None, :-1].astype(np.int64)
    first = dream(world, how, frames, actions)
    assert first.shape == (1, 6, 64, 64, 3)
    assert np.array_equal(first, dream(world, how, frames, actions))
    assert not np.array_equal(first, dream(world, replace(how, seed=2), frames, actions))
    changed = actions.copy()
    changed[0, 3 + 2] = (changed[0, 3 + 2] + 1) % 4
    other = dream(world, how, frames, changed)
    assert np.array_equal(first[0, :2], other[0, :2])
    assert not np.array_equal(first[0, 2], other[0, 2])
