"""The dream beside the real game: one start, the same actions, both to be seen."""

from pathlib import Path

import numpy as np
import pytest

from diamond_engine.emulators import open_emulator
from diamond_engine.errors import UsageError
from diamond_engine.games import atari_game
from diamond_engine.world_model import World
from diamond_engine.worlds import read_world
from play.actions import ButtonActions
from play.beside import Beside, begin_game
from play.genres import shown_from
from play.latch import Input
from play.options import Options, Outputs, check, origin_of
from play.recording import read_recording
from play.replay import replay
from play.session import Session, Settings
from play.sources import Start
from play.view import Command, Frame, Origin, Player
from tests.play.stages import BREAKOUT, PLAIN, endless_world, loaded_as, make_stage

WIDTH = 64
BESIDE = Settings(Start(3), origin=Origin.BESIDE)


@pytest.fixture
def world(world_folder: Path) -> World:
    return endless_world(world_folder)


def parts(frame: Frame) -> tuple[Frame, Frame]:
    """The dream's frame and the real one."""
    assert frame.shape == (64, 2 * WIDTH + 2, 3)
    assert not frame[:, WIDTH : WIDTH + 2].any()
    return frame[:, :WIDTH], frame[:, WIDTH + 2 :]


def test_both_start_from_the_same_frame_and_are_given_the_same_actions(world: World) -> None:
    source = Beside(world, world.config.preset("fast"), PLAIN)
    emulator = open_emulator(atari_game("Breakout"))
    begun = begin_game(emulator, world.context_length, seed=3)
    dreamed, real = parts(source.reset(Start(3)).frame)
    assert np.array_equal(dreamed, begun.frames[-1])
    assert np.array_equal(real, begun.frames[-1])
    for action in (2, 2, 3, 0, 2):
        step = source.step(action)
        dreamed, real = parts(step.frame)
        assert np.array_equal(real, emulator.step(np.array([action])).successors[0])
        assert step.dreamed is not None
        assert np.array_equal(dreamed, step.dreamed)
    assert not np.array_equal(dreamed, real)
    source.close()
    emulator.close()


def test_a_beginning_is_a_context_of_the_game(world: World) -> None:
    emulator = open_emulator(atari_game("Breakout"))
    one, same = (begin_game(emulator, world.context_length, seed=5) for _ in range(2))
    assert np.array_equal(one.frames, same.frames)
    assert (one.frames.shape, one.actions.shape) == ((4, 64, 64, 3), (3,))
    assert not np.array_equal(one.frames, begin_game(emulator, world.context_length, seed=6).frames)
    emulator.close()


def test_the_agent_sees_the_dream_alone(world: World) -> None:
    stage = make_stage(world)
    session = Session(stage, Settings(Start(3), player=Player.AGENT, origin=Origin.BESIDE))
    seen: list[Frame] = []
    assert stage.autopilot is not None
    act = stage.autopilot.act
    stage.autopilot.act = lambda frame, step: seen.append(frame) or act(frame, step)
    frames = [session.snapshot().frame, session.advance(Input()), session.advance(Input())]
    for shown, frame in zip(seen, frames, strict=False):
        assert np.array_equal(shown, parts(frame)[0])
    session.close()


def test_tab_goes_to_the_emulator_and_back_to_both(world: World) -> None:
    session = Session(make_stage(world), BESIDE)
    origins = []
    for _ in range(2):
        session.obey(Command.SWITCH_SOURCE)
        origins.append(session.snapshot().origin)
    assert origins == [Origin.EMULATOR, Origin.BESIDE]
    session.close()


def test_it_ends_at_the_horizon_of_a_dream(world: World) -> None:
    session = Session(make_stage(world), Settings(Start(3), horizon=2, origin=Origin.BESIDE))
    steps = []
    for _ in range(3):
        session.advance(Input())
        steps.append(session.snapshot().step)
    assert steps == [1, 2, 1]
    session.close()


def test_a_recording_replays_identically(world_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "beside.mp4"
    session = Session(make_stage(read_world(world_folder), path), BESIDE)
    session.obey(Command.RECORD)
    frames = [session.advance(Input(("RIGHT",))) for _ in range(4)]
    session.close()
    recording = read_recording(path)
    assert recording.episodes[0].origin is Origin.BESIDE
    replayed = list(replay(recording, loaded_as(recording, world_folder)))
    assert all(np.array_equal(one, other) for one, other in zip(replayed, frames, strict=True))


def test_the_window_is_wide_enough() -> None:
    wide = shown_from(BREAKOUT, Origin.BESIDE)
    assert wide.frame_size == (2 * WIDTH + 2, 64)
    assert shown_from(BREAKOUT, Origin.DREAM) is BREAKOUT


def test_it_is_for_games_with_an_emulator() -> None:
    assert isinstance(BREAKOUT.actions, ButtonActions)
    with pytest.raises(UsageError, match="no emulator"):
        check(Options("doom", origin=Origin.BESIDE), Outputs())
    with pytest.raises(UsageError, match="one of them"):
        origin_of(real=True, beside=True)
