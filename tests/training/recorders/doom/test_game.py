"""Freedoom itself: every kind of action shows in the state of the game."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import vizdoom

from diamond_engine.actions import CsgoAction
from training.recorders.doom.explorer import turn_between
from training.recorders.doom.game import Doom, View
from training.recorders.doom.level import Cell

FRAMES = 8


@pytest.fixture(scope="module")
def game() -> Iterator[Doom]:
    with Doom(seed=3) as game:
        yield game


def played(game: Doom, action: CsgoAction, frames: int = FRAMES) -> tuple[View, View]:
    """A life at the start of the level, looking east; its view before and after so many frames of an action."""
    before = after = game.spawn(*game.start, seed=1)
    for _ in range(frames):
        after = game.step(action)
    return before, after


def variable(game: Doom, name: str) -> float:
    return game._game.get_game_variable(getattr(vizdoom.GameVariable, name))


def test_a_life_begins_where_it_should(game: Doom) -> None:
    view = game.spawn(*game.start, seed=1)
    assert (view.x, view.y) == game.start
    assert (view.yaw, view.pitch, view.health, view.kills, view.dead) == (0, 0, 100, 0, False)
    assert view.ammo > 0
    assert (view.frame.shape, view.frame.dtype) == ((150, 280, 3), np.uint8)
    assert view.frame.std() > 10


def test_idle_hands_change_nothing(game: Doom) -> None:
    before, after = played(game, CsgoAction())
    assert (after.x, after.y, after.yaw, after.pitch, after.ammo) == (before.x, before.y, 0, 0, before.ammo)


@pytest.mark.parametrize(
    ("key", "east", "north"), [("w", 1, 0), ("s", -1, 0), ("a", 0, 1), ("d", 0, -1)], ids=lambda value: str(value)
)
def test_keys_walk_and_strafe(game: Doom, key: str, east: int, north: int) -> None:
    before, after = played(game, CsgoAction((key,)))
    moved = np.array([after.x - before.x, after.y - before.y])
    assert moved @ (east, north) > 40
    assert np.abs(moved @ (north, east)) < 1


def test_shift_runs(game: Doom) -> None:
    walked, run = (played(game, CsgoAction(keys))[1].x for keys in (("w",), ("w", "left shift")))
    assert run - game.start[0] > 1.8 * (walked - game.start[0])


@pytest.mark.parametrize("counts", [100.0, -100.0, 4.0, -1000.0])
def test_the_mouse_turns_by_a_tenth_of_a_degree_a_count(game: Doom, counts: float) -> None:
    before, after = played(game, CsgoAction(mouse_x=counts), frames=3)
    assert turn_between(before.yaw, after.yaw) == pytest.approx(turn_between(0, -0.3 * counts), abs=0.1)
    assert not np.array_equal(before.frame, after.frame)


@pytest.mark.parametrize("counts", [20.0, -20.0])
def test_the_mouse_looks_down_and_up(game: Doom, counts: float) -> None:
    before, after = played(game, CsgoAction(mouse_y=counts))
    assert after.pitch - before.pitch == pytest.approx(0.1 * FRAMES * counts, abs=0.2)


def test_a_left_click_shoots_and_a_right_click_does_not(game: Doom) -> None:
    before, shot = played(game, CsgoAction(left_click=True))
    _, other = played(game, CsgoAction(right_click=True))
    assert shot.ammo < before.ammo == other.ammo


@pytest.mark.parametrize(("key", "weapon"), [("1", 3), ("2", 2), ("3", 1)])
def test_number_keys_take_weapons(game: Doom, key: str, weapon: int) -> None:
    played(game, CsgoAction(("3" if key != "3" else "1",)), frames=20)
    for _ in range(20):
        game.step(CsgoAction((key,)))
    assert variable(game, "SELECTED_WEAPON") == weapon


def test_space_jumps_and_one_comes_down_again(game: Doom) -> None:
    game.spawn(*game.start, seed=1)
    heights = [variable(game, "POSITION_Z")]
    for keys in (("space",), *[()] * 20):
        game.step(CsgoAction(keys))
        heights.append(variable(game, "POSITION_Z"))
    assert max(heights) > heights[0] + 20
    assert heights[-1] == heights[0]


def test_ctrl_crouches(game: Doom) -> None:
    _, idle = played(game, CsgoAction())
    standing = variable(game, "VIEW_HEIGHT")
    _, crouched = played(game, CsgoAction(("left ctrl",)))
    assert variable(game, "VIEW_HEIGHT") < 0.8 * standing
    assert not np.array_equal(idle.frame, crouched.frame)


def ways_through_doors(game: Doom) -> Iterator[list[Cell]]:
    """Straight ways of 14 cells with a closed door in the middle."""
    routes, doors = game.level.routes(game.start), game.level.doors
    for cell in routes:
        way = [cell]
        while routes[way[-1]] != way[-1] and len(way) < 14:
            way.append(routes[way[-1]])
        straight = len(way) == 14 and 1 in (len({row for row, _ in way}), len({column for _, column in way}))
        if straight and doors[way[7]] and not any(doors[place] for place in (*way[:3], *way[10:])):
            yield way


def walked(game: Doom, way: list[Cell], presses: bool) -> float:
    """How far along a way one gets in 60 frames."""
    (x, y), (goal_x, goal_y) = game.level.centre(way[-1]), game.level.centre(way[0])
    view = game.spawn(x, y, seed=1)
    heading = float(np.degrees(np.arctan2(goal_y - y, goal_x - x)))
    game.step(CsgoAction(mouse_x=-10 * turn_between(view.yaw, heading)))
    for frame in range(60):
        view = game.step(CsgoAction(("w", "r") if presses and frame % 20 == 14 else ("w",)))
    return float(np.hypot(view.x - x, view.y - y))


def test_r_opens_doors(game: Doom) -> None:
    length = 13 * 16.0
    opened = [way for way in ways_through_doors(game) if walked(game, way, presses=True) > length]
    assert opened
    assert walked(game, opened[0], presses=False) < 0.8 * length


def test_a_life_is_the_same_for_the_same_seed_and_actions(game: Doom) -> None:
    def life(seed: int) -> list[bytes]:
        game.spawn(*game.start, seed)
        return [game.step(CsgoAction(("w",), mouse_x=50, left_click=True)).frame.tobytes() for _ in range(12)]

    assert life(1) == life(1)
    frames = life(1)
    assert all(one != other for one, other in pairwise(frames))
