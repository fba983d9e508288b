"""Recordings of a part of the level, without monsters, by hands without a purpose."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from diamond_engine.actions import csgo
from diamond_engine.errors import UsageError
from tests.training.recorders.doom.test_level import EAST, WEST, reaches, room, two_rooms
from training.recorders.doom.episode import episode_path, read_facts
from training.recorders.doom.recorder import Recorder
from training.recorders.doom.style import Style
from training.recorders.doom.wandering import FASTEST_TURN, SLOWEST_TURN, STEEPEST, TILT, Wandering

FRAMES = 400
STYLE = Style(reach=75, monsters=False, wander=0.7)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doom")
    Recorder(folder, seed=5, style=STYLE, frames=FRAMES).record(1)
    return folder


def actions_of(path: Path) -> list[csgo.CsgoAction]:
    with h5py.File(path) as file:
        return [csgo.decode(file[f"frame_{i}_y"][()]) for i in range(FRAMES)]


def test_an_episode_keeps_to_its_part_of_the_level_and_tells_its_style(recorded: Path) -> None:
    facts = read_facts(episode_path(recorded, 1))
    assert facts.style == STYLE
    assert (facts.kills, facts.deaths) == (0, 0)
    assert 10 < len(facts.places) < 80  # the whole level has 276
    assert len(facts.places_seen) > 5


def test_what_is_done_holds_every_way_to_move(recorded: Path) -> None:
    actions = actions_of(episode_path(recorded, 1))
    for key in ("w", "a", "s", "d", "left shift"):
        assert sum(key in action.keys for action in actions) > FRAMES / 40, key
    turns = np.array([action.mouse_x for action in actions])
    assert min((turns > 5).sum(), (turns < -5).sum(), (np.abs(turns) < 2).sum()) > FRAMES / 20


def test_another_style_needs_another_folder(recorded: Path) -> None:
    with pytest.raises(UsageError, match="was played otherwise"):
        Recorder(recorded, seed=5, frames=FRAMES).record(1)


def test_a_level_can_be_closed_beyond_a_distance() -> None:
    level = two_rooms(room(256, 64, 320, 192, opening="we"))
    assert reaches(level, WEST, EAST)
    level.keep_within(WEST, 9)
    assert not reaches(level, WEST, EAST)
    assert reaches(level, WEST, (64.0, 64.0))


def test_hands_without_a_purpose_do_everything_and_look_neither_at_the_sky_nor_the_floor() -> None:
    hands, pitch = Wandering(np.random.default_rng(3)), 0.0
    actions = []
    for _ in range(20_000):
        actions.append(hands.act(pitch))
        pitch += 0.1 * actions[-1].mouse_y
        assert abs(pitch) < STEEPEST + 0.2 * TILT
    keys = [frozenset(action.keys) - {"left shift"} for action in actions]
    assert {*map(frozenset, ("w", "a", "s", "d", "wa", "wd", "sa", "sd", ""))} == set(keys)
    speeds = np.abs([action.mouse_x for action in actions if action.mouse_x])
    assert (speeds.min(), speeds.max()) == pytest.approx((SLOWEST_TURN, FASTEST_TURN), rel=0.1)
    assert 0.05 < np.mean([action.left_click for action in actions]) < 0.2
    # whether it walks says nothing about which way it turns
    forward = np.array([("w" in action.keys, action.mouse_x) for action in actions], dtype=float).T
    assert abs(np.corrcoef(forward)[0, 1]) < 0.1
