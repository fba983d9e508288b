"""Key maps of one's own: what is a key, a button or an axis, and its vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from diamond_engine.actions import HandAction, KeyMap
from diamond_engine.configs import read_config, to_yaml
from diamond_engine.errors import DiamondError

MINE = KeyMap(("a", "d", "e", "up"), ("right click",), mouse_x=(5.0, 40.0), never_together=("a+d",))


def test_keys_buttons_and_bins_follow_each_other() -> None:
    assert MINE.names[:5] == ("a", "d", "e", "up", "right click")
    assert MINE.names[5:] == ("mouse x -40", "mouse x -5", "mouse x +0", "mouse x +5", "mouse x +40")
    action = HandAction(("a", "d", "up"), mouse_x=9.0, mouse_y=70.0, right_click=True)
    vector = MINE.encode(action)
    assert np.flatnonzero(vector).tolist() == [0, 3, 4, 8], "d completes a pair; there is no y axis"
    assert MINE.decode(vector) == HandAction(("a", "up"), mouse_x=5.0, right_click=True)
    assert (MINE.size, vector.dtype, vector.shape) == (10, np.uint8, (10,))


def test_arrows_stand_for_the_mouse_only_where_it_turns() -> None:
    assert MINE.decode(MINE.encode(HandAction(("left",), mouse_x=3.0))).mouse_x == -40.0
    with pytest.raises(DiamondError, match="unknown key 'down': this game knows a, d, e, up, right click, left, right"):
        MINE.encode(HandAction(("down",)))
    with pytest.raises(DiamondError, match="there is no left click"):
        MINE.encode(HandAction(left_click=True))


def test_without_a_mouse_there_are_no_bins() -> None:
    keys = KeyMap(("left", "right"))
    assert keys.names == ("left", "right")
    assert keys.decode(keys.encode(HandAction(("right",), mouse_x=8.0))) == HandAction(("right",))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{}", "a key map has keys"),
        ("keys: [w, hyper]", "keys has no 'hyper'"),
        ("keys: [w, w]", "keys names one twice"),
        ("buttons: [middle click]", "buttons has no 'middle click'"),
        ("mouse_x: [5, 2]", "mouse_x must be motions above 0, ascending"),
        ("mouse_y: [-1]", "mouse_y must be motions"),
        ("mouse_y: [.inf]", "mouse_y must be motions"),
        ("{keys: [w], never_together: [w+s]}", "never_together: 'w\\+s' must be"),
        ("{keys: [w], sticks: 2}", "sticks"),
        ("keys: 3", "is not a valid KeyMap"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(content)
    with pytest.raises(DiamondError, match=reason) as raised:
        read_config(KeyMap, tmp_path / "keys.yaml")
    assert "\n" not in str(raised.value)


def test_it_is_kept_as_text(tmp_path: Path) -> None:
    assert KeyMap.from_json(MINE.to_json()) == MINE
    (tmp_path / "keys.yaml").write_text(to_yaml(MINE))
    assert read_config(KeyMap, tmp_path / "keys.yaml") == MINE
    with pytest.raises(TypeError):
        KeyMap.from_json(json.dumps({"sticks": [1]}))
