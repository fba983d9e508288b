"""Sessions of play on a pretended GPU."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from diamond_engine.runtime import Runtime
from diamond_engine.worlds import World, read_world
from play.latch import Input
from play.session import Session, Settings
from play.sources import Start
from play.view import Command, Player
from tests.play.stages import first_person_stage, make_stage
from tests.pretended_device import PretendedDevice


@pytest.fixture
def gpu() -> Iterator[PretendedDevice]:
    with PretendedDevice().entered() as device:
        yield device


@pytest.mark.parametrize("compiled", [True, False], ids=["recorded", "launched"])
def test_an_agent_plays_a_dream(gpu: PretendedDevice, world_folder: Path, compiled: bool) -> None:
    """Its frames are those of a CPU, but for sums in another order."""
    played = []
    for runtime in (
        Runtime.choose("cuda", "float32", compile=compiled),
        Runtime.choose("cpu", "float32", compile=False),
    ):
        session = Session(
            make_stage(read_world(world_folder), runtime=runtime), Settings(horizon=3, player=Player.AGENT)
        )
        played.append(np.stack([session.advance(Input()) for _ in range(5)]))
        assert ("frame" in session.stage_ms) == runtime.records
        session.obey(Command.HAND_OVER)
        session.advance(Input())
        session.close()
    assert np.abs(played[0].astype(int) - played[1]).mean() < 0.1
    assert len(gpu.graphs) == compiled


def test_a_person_plays_in_first_person(gpu: PretendedDevice, tiny_first_person_world: World, tmp_path: Path) -> None:
    stage = first_person_stage(tiny_first_person_world, tmp_path / "played.mp4", Runtime.choose("cuda", "float32"))
    session = Session(stage, Settings(Start(0, 0), horizon=2))
    session.obey(Command.RECORD)
    for _ in range(4):
        assert session.advance(Input()).shape == (150, 280, 3)
    assert session.snapshot().low_res is not None
    session.close()
    assert (tmp_path / "played.mp4").exists()
