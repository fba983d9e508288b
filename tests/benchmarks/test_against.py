"""``python -m benchmarks.frame --against``: another package with the authors' layout takes turns."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.authors import AuthorsCode, AuthorsGame
from benchmarks.frame import _cells, _row
from benchmarks.worlds import world_to_time
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.runtime import Runtime
from tests.benchmarks.authors_layout import write_authors_layout
from tests.conftest import tiny_world


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A package that this process forgets afterwards."""
    before = {*sys.modules}
    yield write_authors_layout(tmp_path)
    for name in {*sys.modules} - before:
        if name.split(".")[0] in ("models", "envs", "nowhere_installed"):
            del sys.modules[name]


def test_their_code_takes_turns(source: Path) -> None:
    world, code = tiny_world(), AuthorsCode(source)
    assert str(source.absolute()) not in sys.path
    runtime = Runtime.choose("cpu", "float32", compile=False)
    row = _row(world, world.config.preset("fast"), 2, runtime, {"float32": 1e9, "bfloat16": 1e9}, 0, code)
    median, low, high = row["authors_ms"]
    assert 0 < low <= median <= high
    assert row["authors_fps"] == pytest.approx(2000 / median, rel=0.01)
    assert row["speedup_over_authors"] == pytest.approx(median / row["fast_ms"][0], rel=0.01)
    assert len(_cells({"world": "w", "preset": "p", "batch": 2, **row})) == 13


def test_a_dream_of_theirs_goes_on_from_the_worlds_contexts(source: Path) -> None:
    world = tiny_world()
    game = AuthorsGame(AuthorsCode(source), world, 6, world.config.preset("fast"), torch.device("cpu"))
    first = game._obs.clone()
    assert torch.equal(first[0], first[4])  # of four contexts
    for _ in range(3):
        game.step()
    assert not torch.equal(game._obs, first)


def test_other_folders_and_other_worlds_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give the folder src of the authors' repository"):
        AuthorsCode(tmp_path)
    csgo = world_to_time.__globals__["PAPER"]["csgo"]()
    code = AuthorsCode(source)
    world = tiny_world()
    two_stages = type(world)(config=csgo, denoiser=world.denoiser, contexts=world.contexts)
    with pytest.raises(UsageError, match="csgo cannot be compared"):
        AuthorsGame(code, two_stages, 1, csgo.preset("fast"), torch.device("cpu"))


def test_a_package_of_another_version_is_one_line(source: Path) -> None:
    (source / "models/actor_critic.py").write_text("raise ValueError('not like this')\n")
    with pytest.raises(DiamondError, match=r"cannot import the authors' models.actor_critic: not like this"):
        AuthorsCode(source)
