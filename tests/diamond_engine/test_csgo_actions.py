"""Keyboard and mouse to the 51-entry vector of CS:GO and back."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diamond_engine.actions.csgo import (
    FORBIDDEN_PAIRS,
    IDLE,
    IDLE_MOUSE_X,
    IDLE_MOUSE_Y,
    KEYS,
    MOUSE_X_BINS,
    MOUSE_Y_BINS,
    NAMES,
    NUM_ACTIONS,
    CsgoAction,
    decode,
    encode,
)
from diamond_engine.errors import DiamondError

FOLDER = Path(os.environ.get("DIAMOND_REFERENCE_VECTORS", Path(__file__).parents[1] / "data" / "reference"))
KEY_OF_CASE = {"lctrl": "left ctrl", "lshift": "left shift", "k1": "1", "k2": "2", "k3": "3"}
CASES: list[dict[str, Any]] = json.loads((FOLDER / "csgo_actions.json").read_text())


def raw_input(case: dict[str, Any]) -> CsgoAction:
    return CsgoAction(
        keys=tuple(KEY_OF_CASE.get(key, key) for key in list[str](case["keys_in_order"])),
        mouse_x=case["mouse_dx"],
        mouse_y=case["mouse_dy"],
        left_click=case["left_click"],
        right_click=case["right_click"],
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: "+".join(case["keys_in_order"]) or "no keys")
def test_reference_cases(case: dict[str, Any]) -> None:
    vector = encode(raw_input(case))
    assert vector.dtype == np.uint8
    assert vector.shape == (NUM_ACTIONS,)
    assert np.flatnonzero(vector).tolist() == case["on"]
    assert set(vector.tolist()) <= {0, 1}
    decoded = decode(vector)
    assert (decoded.mouse_x, decoded.mouse_y) == (case["mouse_x"], case["mouse_y"])
    assert (decoded.left_click, decoded.right_click) == (case["left_click"], case["right_click"])
    np.testing.assert_array_equal(encode(decoded), vector)


def test_the_reference_has_300_cases() -> None:
    assert len(CASES) == 300


def test_idle_is_two_bins() -> None:
    assert np.flatnonzero(encode(IDLE)).tolist() == [IDLE_MOUSE_X, IDLE_MOUSE_Y] == [24, 43]
    assert decode(encode(IDLE)) == IDLE


@pytest.mark.parametrize(
    ("motion", "snapped"), [(80, 60), (-80, -100), (1, 0), (-1, -2), (3, 2), (-3, -4), (750, 500), (-750, -1000)]
)
def test_horizontal_ties_go_to_the_lower_bin(motion: float, snapped: float) -> None:
    assert decode(encode(CsgoAction(mouse_x=motion))).mouse_x == snapped


@pytest.mark.parametrize(("motion", "snapped"), [(35, 20), (-35, -50), (75, 50), (150, 100), (1e9, 200), (-1e9, -200)])
def test_vertical_ties_and_clipping(motion: float, snapped: float) -> None:
    assert decode(encode(CsgoAction(mouse_y=motion))).mouse_y == snapped


@pytest.mark.parametrize("pair", [tuple(sorted(pair)) for pair in sorted(FORBIDDEN_PAIRS, key=sorted)])
def test_the_later_key_of_a_forbidden_pair_is_dropped(pair: tuple[str, str]) -> None:
    first, second = pair
    np.testing.assert_array_equal(encode(CsgoAction((first, second))), encode(CsgoAction((first,))))
    np.testing.assert_array_equal(encode(CsgoAction((second, first))), encode(CsgoAction((second,))))


def test_a_dropped_key_forbids_nothing() -> None:
    assert decode(encode(CsgoAction(("1", "2", "3")))).keys == ("1",)
    assert decode(encode(CsgoAction(("w", "s", "a", "d", "space")))).keys == ("w", "a", "space")


def test_arrow_keys_override_the_mouse_along_their_axis() -> None:
    action = decode(encode(CsgoAction(("right", "up", "w"), mouse_x=-300, mouse_y=100)))
    assert action == CsgoAction(("w",), mouse_x=60, mouse_y=-50)
    assert decode(encode(CsgoAction(("left",), mouse_x=300, mouse_y=100))) == CsgoAction(mouse_x=-60, mouse_y=100)


def test_every_entry_has_a_name() -> None:
    assert len(NAMES) == len(set(NAMES)) == NUM_ACTIONS
    for index, name in enumerate(NAMES[: len(KEYS)]):
        assert encode(CsgoAction((name,)))[index] == 1
    assert len(MOUSE_X_BINS) == 23
    assert len(MOUSE_Y_BINS) == 15
    assert (NAMES[24], NAMES[43]) == ("mouse x +0", "mouse y +0")


def test_recorded_vectors_of_other_types_decode() -> None:
    vector = encode(CsgoAction(("w", "r"), mouse_x=-60, left_click=True))
    assert decode(vector.astype(np.float64)) == decode(vector)
    assert decode(np.zeros(NUM_ACTIONS)) == IDLE


@pytest.mark.parametrize("shape", [(), (50,), (52,), (1, 51)])
def test_a_vector_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DiamondError, match="51 entries"):
        decode(np.zeros(shape))


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(DiamondError, match="unknown key 'q'"):
        encode(CsgoAction(("q",)))
