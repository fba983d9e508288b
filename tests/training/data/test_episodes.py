"""Episodes as training sees them: checked, described, growing, and places to dream from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diamond_engine.episodes import Episode, EpisodeFolder
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import atari_game
from tests.conftest import collect_random
from training.data.episodes import GameEpisodes, Source
from training.data.segments import EpisodeContexts, SegmentStream

BREAKOUT = atari_game("Breakout")


def test_facts_tell_who_played(episode_folder: Path) -> None:
    data = GameEpisodes(episode_folder, BREAKOUT)
    steps = data.episodes.num_steps
    assert data.facts() == {"episodes": len(data.episodes), "steps": steps, "policies": {"random": steps}}
    assert data.steps_from(Source("random", 0.0, 0)) == steps
    assert data.steps_from(Source("random", 0.0, 1)) == 0


def test_another_games_episodes_are_refused(episode_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"episode_000000\.h5 is an episode of Breakout, not of Pong"):
        GameEpisodes(episode_folder, atari_game("Pong"))


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        GameEpisodes(tmp_path / "nowhere", BREAKOUT)
    with pytest.raises(UsageError, match="no episodes in"):
        GameEpisodes(tmp_path, BREAKOUT)


def test_corrupt_episode_is_named(tmp_path: Path) -> None:
    collect_random(tmp_path, 40)
    path = tmp_path / "episode_000000.h5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DiamondError, match=r"episode_000000\.h5 is not a readable episode"):
        GameEpisodes(tmp_path, BREAKOUT)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"actions": np.full(6, 17)}, "no episode of Breakout: it needs actions from 0 to 3"),
        ({"actions": np.full(6, -1)}, "no episode of Breakout"),
        ({"frames": np.zeros((6, 64, 32, 3), np.uint8), "final_frame": np.zeros((64, 32, 3), np.uint8)}, "not 64x32"),
        ({"attributes": {"game": "Breakout", "seed": "abc"}}, "nonsense of who played it.*seed 'abc'"),
    ],
)
def test_invalid_episodes_are_refused(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    EpisodeFolder(tmp_path).append(replace(_still(9, steps=6), **{"attributes": {"game": "Breakout"}, **wrong}))
    with pytest.raises(DiamondError, match=rf"episode_000000\.h5 .*{said}"):
        GameEpisodes(tmp_path, BREAKOUT)


def test_contexts_lie_inside_real_episodes(episode_folder: Path) -> None:
    folder = EpisodeFolder(episode_folder)
    contexts = EpisodeContexts(folder, length=4, seed=0, steps_left=8).draw(32)
    assert contexts.frames.shape == (32, 4, 64, 64, 3)
    assert contexts.actions.shape == (32, 3)
    episodes = [folder[i] for i in range(len(folder))]
    for frames, actions in zip(contexts.frames, contexts.actions, strict=True):
        assert any(
            np.array_equal(frames, episode.frames[start : start + 4])
            and np.array_equal(actions, episode.actions[start : start + 3])
            for episode in episodes
            for start in range(len(episode) - 3 - 8 + 1)
        )


def test_contexts_come_from_different_episodes_while_they_last(tmp_path: Path) -> None:
    folder = EpisodeFolder(tmp_path)
    for shade in range(5):
        folder.append(_still(shade, steps=6 + 20 * shade))
    contexts = EpisodeContexts(folder, length=4, seed=0)
    assert sorted(contexts.draw(5).frames[:, 0, 0, 0, 0]) == [0, 1, 2, 3, 4]
    assert len(contexts.draw(50)) == 50


def _still(shade: int, steps: int) -> Episode:
    """An episode in which nothing moves."""
    never = np.zeros(steps, dtype=bool)
    return Episode(
        frames=np.full((steps, 64, 64, 3), shade, dtype=np.uint8),
        actions=np.zeros(steps, dtype=np.int64),
        rewards=np.zeros(steps, dtype=np.float32),
        terminated=never,
        truncated=never,
        final_frame=np.full((64, 64, 3), shade, dtype=np.uint8),
    )


def test_contexts_need_long_enough_episodes(episode_folder: Path) -> None:
    with pytest.raises(DiamondError, match=r"no episode in .* has 10003 steps"):
        EpisodeContexts(EpisodeFolder(episode_folder), length=4, seed=0, steps_left=10_000)


def test_new_episodes_are_noticed_while_segments_are_drawn(tmp_path: Path) -> None:
    collect_random(tmp_path, 40)
    folder, lines = EpisodeFolder(tmp_path), list[str]()
    before = len(folder)
    stream = SegmentStream(folder, 6, seed=0, age_weights=(1.0,), on_growth=lines.append)
    collect_random(tmp_path, 40)
    for _ in range(99):
        stream.draw(1, torch.device("cpu"))
    assert (len(folder), lines) == (before, [])
    stream.draw(1, torch.device("cpu"))
    assert len(folder) > before
    assert lines == [f"found {len(folder) - before} new episodes: now {len(folder)} of {folder.num_steps} steps"]
