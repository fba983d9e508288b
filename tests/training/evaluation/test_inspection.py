"""What ``inspect`` finds in episode files, good and bad."""

from pathlib import Path

import numpy as np
import pytest

from diamond_engine.episodes import Episode, read_episode, write_episode
from diamond_engine.errors import DiamondError
from training.evaluation.inspection import episode_paths, inspect_episodes
from training.evaluation.reports.games import inspection_report


def episode(actions: list[int], rewards: list[float], policy: str, game: str = "Breakout") -> Episode:
    steps = len(actions)
    return Episode(
        frames=np.zeros((steps, 8, 8, 3), dtype=np.uint8),
        actions=np.asarray(actions),
        rewards=np.asarray(rewards, dtype=np.float32),
        terminated=np.arange(steps) == steps - 1,
        truncated=np.zeros(steps, dtype=bool),
        final_frame=np.zeros((8, 8, 3), dtype=np.uint8),
        attributes={"game": game, "policy": policy},
    )


def test_report_of_known_episodes(tmp_path: Path) -> None:
    write_episode(tmp_path / "episode_000000.h5", episode([0, 1, 1], [0, 4, 0], "random"))
    write_episode(tmp_path / "episode_000001.h5", episode([3], [-1], "epsilon 0.1"))
    report = inspection_report(inspect_episodes(episode_paths(tmp_path)))
    expected = {
        "episodes": 2,
        "damaged": 0,
        "game": "Breakout",
        "frame_shape": "8×8×3",
        "steps": 4,
        "return_mean": 1.5,
        "return_min": -1,
        "return_max": 4,
        "length_mean": 2,
        "reward_events": 2,
        "terminated": 2,
        "truncated": 0,
        "action_FIRE": 2,
        "action_NOOP": 1,
        "action_LEFT": 1,
        "policy_random_episodes": 1,
        "policy_random_steps": 3,
        "policy_random_return_mean": 4,
        "policy_epsilon_0.1_episodes": 1,
    }
    assert expected.items() <= report.items()


@pytest.mark.parametrize(
    ("game", "name"),
    [
        ("SpaceInvaders", "LEFTFIRE"),
        ("gym:MiniGrid-Empty-8x8-v0", "toggle"),
        ("gym:mine:Own-v0", "5"),
        ("No game", "5"),
    ],
)
def test_actions_have_names_where_no_module_of_ones_own_is_needed(game: str, name: str, tmp_path: Path) -> None:
    write_episode(tmp_path / "mine.h5", episode([5], [0], "me", game=game))
    (facts,) = inspect_episodes(episode_paths(tmp_path / "mine.h5")).episodes
    assert facts.actions == {name: 1}


def test_every_damaged_file_is_named_and_the_rest_is_read(episode_folder: Path, tmp_path: Path) -> None:
    good = sorted(episode_folder.glob("*.h5"))[0]
    (tmp_path / "episode_000000.h5").write_bytes(good.read_bytes())
    (tmp_path / "episode_000001.h5").write_bytes(good.read_bytes()[:5000])
    (tmp_path / "episode_000002.h5").write_bytes(b"")
    inspection = inspect_episodes(episode_paths(tmp_path))
    assert [facts.steps for facts in inspection.episodes] == [len(read_episode(good))]
    assert ["episode_000001.h5" in line for line in inspection.damaged] == [True, False]
    assert ["episode_000002.h5" in line for line in inspection.damaged] == [False, True]


def test_a_folder_without_episodes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DiamondError, match="no episodes in"):
        episode_paths(tmp_path)
