"""The scripted players play well in the real emulator."""

import numpy as np
import pytest
import torch

from diamond_engine.emulators import open_emulator
from diamond_engine.errors import UsageError
from diamond_engine.frames import from_numpy
from diamond_engine.games import atari_game
from training.data.scripted import BreakoutTracker, PongTracker, scripted_policy
from training.data.scripted.breakout import find_ball, landing_column
from training.data.scripted.geometry import reflected
from training.data.scripted.pong import landing_row


def test_tracker_keeps_the_ball_in_play() -> None:
    emulator = open_emulator(atari_game("Breakout"), 2, seed=11)
    tracker = BreakoutTracker(seed=0)
    frames, scores = emulator.reset(), np.zeros(2)
    for _ in range(600):
        result = emulator.step(tracker.act(from_numpy(frames, torch.device("cpu"))).numpy())
        frames, scores = result.frames, scores + result.rewards
    emulator.close()
    assert (scores > 15).all()  # random play earns about 5 in as many steps


def test_tracker_of_pong_loses_hardly_a_ball() -> None:
    emulator = open_emulator(atari_game("Pong"), 2, seed=5)
    tracker = PongTracker(seed=0)
    frames, lost = emulator.reset(), np.zeros(2)
    for _ in range(600):
        result = emulator.step(tracker.act(from_numpy(frames, torch.device("cpu"))).numpy())
        frames, lost = result.frames, lost + (result.rewards < 0)
    emulator.close()
    assert (lost <= 2).all()  # a paddle that stands still loses one every 35 steps: 17


def test_ball_is_found_where_it_is() -> None:
    red = np.zeros((64, 64), dtype=np.uint8)
    assert find_ball(red) is None
    red[40, 20:22] = 200
    assert find_ball(red) == (40.0, 20.5)


def test_landing_column_reflects_at_the_walls() -> None:
    assert landing_column(None, (40.0, 20.0)) == 20
    assert landing_column((41.0, 18.0), (40.0, 20.0)) == 20  # rising
    assert landing_column((40.0, 20.0), (42.0, 21.0)) == 29  # 16 rows to fall, half a column each
    assert landing_column((40.0, 8.0), (42.0, 5.0)) == pytest.approx(4 + 23)  # 24 columns to the left, 1 to the wall


def test_only_an_approaching_ball_has_a_landing_row() -> None:
    assert landing_row(None, (30.0, 20.0)) is None
    assert landing_row((30.0, 20.0), None) is None
    assert landing_row((30.0, 20.0), (30.0, 18.0)) is None
    assert landing_row((30.0, 43.0), (31.0, 45.0)) == 36  # 10 columns to go, half a row each


@pytest.mark.parametrize(("position", "where"), [(15, 15), (5, 15), (25, 15), (29, 11), (45, 15)])
def test_what_moves_is_reflected_at_both_walls(position: float, where: float) -> None:
    assert reflected(position, 10, 20) == where


def test_other_games_have_no_scripted_player() -> None:
    with pytest.raises(UsageError, match="no scripted player of Boxing, only of Breakout and Pong"):
        scripted_policy(atari_game("Boxing"), seed=0, spread=0.0)
