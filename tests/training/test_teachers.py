"""The scripted player plays Breakout well in the real emulator."""

import numpy as np
import pytest
import torch

from diamond_engine.actions import atari_game
from diamond_engine.emulator import AtariEmulator
from diamond_engine.errors import UsageError
from diamond_engine.frames import from_numpy
from training.teachers import BreakoutTracker, find_ball, landing_column, teacher


def test_tracker_keeps_the_ball_in_play() -> None:
    emulator = AtariEmulator(atari_game("Breakout"), 2, seed=11)
    tracker = BreakoutTracker(seed=0)
    frames, scores = emulator.reset(), np.zeros(2)
    for _ in range(600):
        result = emulator.step(tracker.act(from_numpy(frames, torch.device("cpu"))).numpy())
        frames, scores = result.frames, scores + result.rewards
    emulator.close()
    assert (scores > 15).all()  # random play earns about 5 in as many steps


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


def test_other_games_have_no_scripted_player() -> None:
    with pytest.raises(UsageError, match="no scripted player of Pong"):
        teacher(atari_game("Pong"), seed=0, spread=0.0)
