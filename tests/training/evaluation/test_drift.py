"""Long dreams beside real games."""

from dataclasses import replace

import numpy as np
import pytest

from diamond_engine.errors import UsageError
from diamond_engine.world_model import World
from tests.conftest import tiny_token_world, tiny_world
from training.evaluation.drift import Drifting, check_comparable, measure_drift, network_calls, play_real
from training.evaluation.reports.drift import drift_picture

HOW = Drifting(steps=25, denoising_steps=(1, 2), dreams=2, real_games=4, epsilon=1.0, device="cpu", dtype="float32")


def test_marks_grow_and_end_with_the_last_step() -> None:
    assert replace(HOW, steps=1000).marks == (10, 20, 50, 100, 200, 500, 1000)
    assert replace(HOW, steps=25).marks == (10, 20, 25)
    assert replace(HOW, steps=10).marks == (10,)
    assert replace(HOW, steps=3).pictured == (1, 3)
    assert replace(HOW, steps=1).pictured == (1,)


def test_real_play_is_followed_and_compared_with_other_games(world: World) -> None:
    real = play_real(world, HOW)
    assert real.frames.shape == (2, 4, 64, 64, 3)
    assert real.actions.shape == (2, 3 + 25)
    assert [moments.count for moments in real.reference] == [4 * 10, 4 * 10, 4 * 5]
    assert real.course.frames.shape == (4, 64, 64, 3)
    assert not np.array_equal(real.frames[0, -1], real.course.frames[-1])
    again, other = play_real(world, HOW), play_real(world, replace(HOW, seed=1))
    assert np.array_equal(real.actions, again.actions)
    assert real.course.distances == again.course.distances
    assert not np.array_equal(real.actions, other.actions)


def test_dreams_of_an_untrained_world_drift_further_than_chance(world: World) -> None:
    done: list[int] = []
    worlds = {"a": world, "b": tiny_world()}
    real = play_real(world, HOW)
    drift = measure_drift(worlds, real, HOW, done.append)
    assert done[-1] == network_calls(worlds, HOW) == 2 * 25 * (1 + 2)
    assert done == sorted(done)
    assert [course.label for course in drift.dreams["a"]] == ["1 step", "2 steps"]
    for courses in drift.dreams.values():
        for course in courses:
            assert all(np.array(course.distances) > 3 * np.array(drift.real.distances))
    assert not np.array_equal(drift.dreams["a"][0].frames, drift.dreams["a"][1].frames)
    picture = drift_picture(drift)
    alone = drift_picture(replace(drift, dreams={"a": drift.dreams["a"]}))
    assert picture.shape[1] == 2 * alone.shape[1]
    assert np.array_equal(picture[:, : alone.shape[1]], alone)


def test_tokens_are_dreamed_one_way_beside_denoising_steps(world: World) -> None:
    how, worlds = replace(HOW, steps=3), {"diamond": world, "iris": tiny_token_world()}
    drift = measure_drift(worlds, play_real(world, how), how)
    assert network_calls(worlds, how) == 3 * (1 + 2 + 17)
    assert [course.label for course in drift.dreams["iris"]] == ["tokens"]
    assert drift_picture(drift).ndim == 3


def test_worlds_side_by_side_must_be_of_one_game() -> None:
    with pytest.raises(UsageError, match="one game"):
        check_comparable({"a": tiny_world("Breakout"), "b": tiny_world("Pong")})
