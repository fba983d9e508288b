"""Worlds of both kinds side by side on the same real play."""

import json
from pathlib import Path

import numpy as np
import pytest

from diamond_engine.errors import UsageError
from tests.conftest import tiny_token_world, tiny_world
from training.evaluation.commands.compare import compare
from training.evaluation.comparison import longest_context
from training.evaluation.reports.comparison import FRAME, framed


def test_diamond_beside_iris(
    world_folder: Path, token_world_folder: Path, episode_folder: Path, tmp_path: Path
) -> None:
    names = [str(world_folder), str(token_world_folder)]
    report, picture = tmp_path / "c.json", tmp_path / "c.png"
    compare(names, episode_folder, 3, 2, 0, "cpu", "float32", report, picture)
    found = json.loads(report.read_text())
    expected = {
        "game": "Breakout",
        "contexts": 3,
        "world_1": names[0],
        "world_1_kind": "diamond",
        "world_1_network_calls": 3,
        "world_2_kind": "iris",
        "world_2_network_calls": 17,
        "world_2_training_seconds": None,
    }
    assert expected.items() <= found.items()
    assert found["world_1_rewards"] == found["world_2_rewards"]
    assert found["world_2_ms_a_frame"] > 0
    tokens = sum(p.numel() for network in tiny_token_world().networks.values() for p in network.parameters())
    assert found["world_2_parameters"] == tokens
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_wrong_is_framed() -> None:
    real = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    dreamed = real.copy()
    dreamed[0, 30:32, 40:42] = 200
    boxed = framed(dreamed, real)
    marked = (boxed == np.asarray(FRAME)).all(axis=-1)[0]
    rows, columns = np.nonzero(marked)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (28, 33, 38, 43)
    assert boxed[0, 31, 41, 0] == 200
    assert not (framed(real, real) == np.asarray(FRAME)).all(axis=-1).any()


def test_worlds_of_two_games() -> None:
    with pytest.raises(UsageError, match="must be of one game, not of Breakout and Pong"):
        longest_context({"a": tiny_world("Breakout"), "b": tiny_token_world("Pong")})
