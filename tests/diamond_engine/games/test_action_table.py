"""One table of actions for every space, and the keys that mean each."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Text

from diamond_engine.errors import UsageError
from diamond_engine.games import Game
from diamond_engine.games.action_table import LARGEST, NO_KEY, ActionTable, tabulated, with_keys


def game(table: ActionTable) -> Game:
    return Game("any", table.names, table.buttons)


def test_names_say_the_directions() -> None:
    table = tabulated(Discrete(5), ("stay", "turn left", "move-right", "forward", "UPRIGHTFIRE"))
    held = [set(buttons) for buttons in table.buttons]
    assert held == [set(), {"LEFT"}, {"RIGHT"}, {"UP"}, {"UP", "RIGHT", "FIRE"}]
    assert game(table).action(["UP", "RIGHT"]) == 2, "horizontal before vertical"
    assert game(table).action(["UP", "RIGHT", "FIRE"]) == 4
    assert game(table).action(["LEFT", "RIGHT"]) == 0, "they cancel"


def test_what_has_no_direction_gets_a_key_of_its_own() -> None:
    table = tabulated(Discrete(7), ("left", "right", "forward", "pickup", "drop", "toggle", "done"))
    assert [*map(set, table.buttons)] == [{"LEFT"}, {"RIGHT"}, {"UP"}, {"1"}, {"2"}, {"3"}, set()]
    assert game(table).idle == 6, "done does nothing"


def test_two_actions_of_one_direction_get_different_keys() -> None:
    table = tabulated(Discrete(3), ("left", "turn left", "none"))
    assert [*map(set, table.buttons)] == [{"LEFT"}, {"1"}, set()]
    assert game(table).idle == 2


def test_actions_without_names_are_numbered() -> None:
    assert [*map(set, tabulated(Discrete(3)).buttons)] == [{"0"}, {"1"}, {"2"}]
    assert tabulated(Discrete(3)).names == ("0", "1", "2")
    assert [*map(set, tabulated(Discrete(2)).buttons)] == [{"LEFT"}, {"RIGHT"}]
    assert tabulated(Discrete(3, start=-1)).values == (-1, 0, 1)


def test_names_that_do_not_fit_are_left_out() -> None:
    assert tabulated(Discrete(3), ("left", "right")).names == ("0", "1", "2")
    assert tabulated(Discrete(2), ("left", "left")).names == ("0", "1")


def test_switches_are_combined() -> None:
    table = tabulated(MultiBinary(3))
    assert len(table.values) == 8
    assert not table.values[0].any()
    assert table.names[0] == "nothing"
    both = game(table).action(["1", "3"])
    assert table.values[both].tolist() == [1, 0, 1]
    assert table.values[both].dtype == np.int8


def test_dials_are_combined() -> None:
    table = tabulated(MultiDiscrete([2, 3], start=[0, 5]))
    assert [value.tolist() for value in table.values] == [[0, 5], [0, 6], [0, 7], [1, 5], [1, 6], [1, 7]]
    assert table.values[game(table).action(["1", "3"])].tolist() == [1, 7]


def test_axes_are_none_least_and_most() -> None:
    car = Box(np.array([-1, 0, 0], dtype=np.float32), np.ones(3, dtype=np.float32))
    table = tabulated(car)
    assert len(table.values) == 12
    assert table.values[game(table).idle].tolist() == [0, 0, 0]
    assert table.values[game(table).action(["LEFT", "UP"])].tolist() == [-1, 1, 0]
    assert table.values[game(table).action(["RIGHT", "DOWN"])].tolist() in ([1, 0, 1], [1, 0, 0])
    assert table.values[0].dtype == np.float32
    unbounded = tabulated(Box(-np.inf, np.inf, (1,), np.float64))
    assert [value.tolist() for value in unbounded.values] == [[0.0], [-1.0], [1.0]]


def test_of_too_many_combinations_one_entry_moves_at_a_time() -> None:
    table = tabulated(MultiBinary(40))
    assert len(table.values) == 41 <= LARGEST
    assert all(value.sum() <= 1 for value in table.values)
    assert len(set(table.names)) == 41
    assert frozenset((NO_KEY,)) in table.buttons, "there are not as many keys"
    assert len(tabulated(Box(-1, 1, (17,), np.float32)).values) == 35


def test_keys_of_the_environments_own() -> None:
    table = with_keys(tabulated(Discrete(4)), {(ord("a"),): 1, "x ": 2, (1073741903, "q"): 3, (): 0})
    assert [*map(set, table.buttons)] == [set(), {"LEFT"}, {"x", "FIRE"}, {"RIGHT", "q"}]
    dials = with_keys(tabulated(MultiDiscrete([2, 2])), {"x": np.array([1, 0])})
    assert [*map(set, dials.buttons)] == [set(), {NO_KEY}, {"x"}, {NO_KEY}]


def test_other_spaces_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be played"):
        tabulated(Text(3))
