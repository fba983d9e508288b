"""Experience continues in the middle of a game, and its replay with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diamond_engine.episodes import EpisodeFolder
from diamond_engine.errors import DiamondError
from diamond_engine.games import atari_game
from diamond_engine.networks import ActorCritic
from tests.conftest import tiny_config
from tests.training.trainers import RUNTIME
from training.algorithm.experience import Experience
from training.algorithm.replay import Replay

CACHE = 2**30


def _experience(folder: Path, epsilon: float = 0.1) -> Experience:
    torch.manual_seed(0)
    config = tiny_config("Breakout").actor_critic
    assert config is not None
    return Experience(atari_game("Breakout"), ActorCritic(config), Replay(folder, CACHE), epsilon, RUNTIME, 4)


def _steps(experience: Experience, count: int) -> list[dict[str, float]]:
    return [{name: float(value) for name, value in experience.step().items()} for _ in range(count)]


def _contents(folder: Path) -> list[bytes]:
    episodes = EpisodeFolder(folder)
    return [episodes[i].frames.tobytes() + episodes[i].actions.tobytes() for i in range(len(episodes))]


@pytest.mark.parametrize("before", [7, 300], ids=["first life", "later game"])
def test_a_game_goes_on_where_it_was(before: int, tmp_path: Path) -> None:
    straight = _experience(tmp_path / "straight")
    _steps(straight, before)
    straight.file()
    rest = _steps(straight, 60)
    straight.file()

    first = _experience(tmp_path / "resumed")
    _steps(first, before)
    state = first.state_dict()
    _steps(first, 40)  # lost when the process dies
    first.file()
    second = _experience(tmp_path / "resumed")
    second.load_state_dict(state)
    second.restore_replay()
    second.file()
    assert EpisodeFolder(tmp_path / "resumed").num_steps == before
    assert _steps(second, 60) == rest
    second.file()
    assert _contents(tmp_path / "resumed") == _contents(tmp_path / "straight")
    assert _plain(second.state_dict()) == _plain(straight.state_dict())


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    lists = {"actions": state["actions"].tolist(), "rng": state["rng"].tolist()}
    return {**state, **lists, "policy": [half.tolist() for half in state["policy"]]}


def test_episodes_are_whole_lives_and_the_one_under_way_grows(tmp_path: Path) -> None:
    experience = _experience(tmp_path)
    ended = [metrics for metrics in _steps(experience, 150) if metrics]
    experience.file()
    folder = EpisodeFolder(tmp_path)
    assert len(folder) == len(ended) + 1
    assert [float(length) for length in folder.lengths[:-1]] == [metrics["length"] for metrics in ended]
    assert all(folder[i].terminated[-1] for i in range(len(ended)))
    under_way = folder[len(ended)]
    assert (under_way.terminated.any(), under_way.truncated[-1]) == (False, True)
    _steps(experience, 3)
    experience.file()
    grown = EpisodeFolder(tmp_path)[len(ended)]
    assert len(grown) == len(under_way) + 3
    assert np.array_equal(grown.frames[: len(under_way)], under_way.frames)


def test_the_replay_in_use_sees_the_episode_grow(tmp_path: Path) -> None:
    experience = _experience(tmp_path)
    _steps(experience, 5)
    experience.file()
    replay = experience._replay
    assert len(replay[0]) == 5
    assert len(replay.events()) == 0
    _steps(experience, 5)
    experience.file()
    assert len(replay[0]) == replay.num_steps == 10


def test_missing_episodes_are_an_error(tmp_path: Path) -> None:
    experience = _experience(tmp_path)
    _steps(experience, 150)
    EpisodeFolder(tmp_path).paths[0].unlink()
    resumed = _experience(tmp_path)
    resumed.load_state_dict(experience.state_dict())
    with pytest.raises(DiamondError, match="lacks 1 of the"):
        resumed.restore_replay()


def test_epsilon_one_plays_at_random(tmp_path: Path) -> None:
    experience = _experience(tmp_path, epsilon=1.0)
    torch.nn.init.constant_(experience._policy.actor_linear.bias[:1], 100.0)  # the policy itself would only wait
    _steps(experience, 60)
    experience.file()
    assert len(set(np.concatenate([EpisodeFolder(tmp_path)[0].actions]))) == 4


def test_rewards_of_another_sign_than_most_are_counted(tmp_path: Path) -> None:
    experience = _experience(tmp_path)
    experience.sign_counts = [3, 90, 7]
    assert experience.minority_rewards == 10
