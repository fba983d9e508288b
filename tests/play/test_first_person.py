"""A first-person session: its contexts, the recorded player, and recordings that replay to identical frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine import WorldModelEnv
from diamond_engine.actions import csgo
from diamond_engine.errors import DiamondError
from diamond_engine.frames import to_numpy
from diamond_engine.world_model import World
from play.latch import Input
from play.recording import read_recording, session_path
from play.replay import replay
from play.session import Session
from play.view import Command, Player
from tests.play.stages import first_person_session, loaded_as, obey

FORWARD = Input(("w",), (70.0, 0.0))


def recorded_of(world: World, context: int) -> np.ndarray:
    """The recorded actions of a context, ``(M, 51)``."""
    assert world.contexts is not None
    assert world.contexts.recorded is not None
    return world.contexts.recorded[context]


def test_the_recorded_human_plays_entry_t_at_step_t(tiny_first_person_world: World) -> None:
    session = first_person_session(tiny_first_person_world, context=1)
    session.obey(Command.HAND_OVER)
    played = [session.advance(FORWARD) for _ in range(5)]
    env = WorldModelEnv(tiny_first_person_world, 1, "cpu", "fast", dtype="float32")
    env.reset(0, {"context": 1})
    actions = recorded_of(tiny_first_person_world, 1)
    expected = [to_numpy(env.step(torch.as_tensor(action[None]))[0][0]) for action in actions[:5]]
    assert np.array_equal(played, expected)


def test_taking_over_and_handing_back_goes_on_at_the_same_step(tiny_first_person_world: World, tmp_path: Path) -> None:
    session = first_person_session(tiny_first_person_world, recording=tmp_path / "r.mp4")
    obey(session, Command.RECORD, Command.HAND_OVER)
    session.advance(FORWARD)
    session.obey(Command.HAND_OVER)
    session.advance(FORWARD)
    assert session.snapshot().gesture.motion == (60.0, 0.0)
    session.obey(Command.HAND_OVER)
    session.advance(FORWARD)
    session.close()
    log = read_recording(tmp_path / "r.mp4").episodes[0]
    recorded = recorded_of(tiny_first_person_world, 0)
    assert [log.actions[0], log.actions[2]] == [tuple(recorded[0].tolist()), tuple(recorded[2].tolist())]
    assert csgo.decode(np.array(log.actions[1])).keys == ("w",)


def test_where_the_recording_ends_the_next_context_begins(tiny_first_person_world: World) -> None:
    session = first_person_session(tiny_first_person_world)
    session.obey(Command.HAND_OVER)
    seen = []
    for _ in range(25):
        session.advance(Input())
        seen.append((session.snapshot().context, session.snapshot().step))
    assert seen == [((context, 2), step) for context in (0, 1) for step in range(1, 13)] + [((0, 2), 1)]
    assert session.player is Player.RECORDED


def test_beyond_the_recording_there_is_nobody_to_hand_control_to(tiny_first_person_world: World) -> None:
    session = first_person_session(tiny_first_person_world)
    for _ in range(12):
        session.advance(Input())
    session.obey(Command.HAND_OVER)
    assert session.player is Player.PERSON
    assert "Enter goes to the next context" in session.snapshot().message


def test_a_world_without_recorded_actions_says_so_and_goes_on(tiny_first_person_world: World) -> None:
    assert tiny_first_person_world.contexts is not None
    silent = replace(tiny_first_person_world, contexts=replace(tiny_first_person_world.contexts, recorded=None))
    session = first_person_session(silent)
    session.player = Player.RECORDED
    session.advance(FORWARD)
    assert session.player is Player.PERSON
    assert session.snapshot().message == "nothing was recorded here: you play"


def test_there_is_neither_emulator_nor_return(tiny_first_person_world: World) -> None:
    session = first_person_session(tiny_first_person_world)
    session.obey(Command.SWITCH_SOURCE)
    session.advance(Input())
    snapshot = session.snapshot()
    assert (snapshot.message, snapshot.step) == ("this world has no emulator to switch to", 1)
    assert (snapshot.origin, snapshot.episode_return) == (None, None)
    assert snapshot.low_res is not None
    assert (snapshot.frame.shape, snapshot.low_res.shape) == ((150, 280, 3), (30, 56, 3))
    assert list(snapshot.stage_ms) == ["dynamics", "upsampler"]


def played_and_recorded(world: World, path: Path) -> tuple[Session, list[np.ndarray]]:
    session = first_person_session(world, recording=path)
    session.obey(Command.RECORD)
    frames = [session.advance(Input(("w", "left click"), (float(30 * i), -10.0))) for i in range(4)]
    obey(session, Command.RESET, Command.HAND_OVER)
    frames += [session.advance(Input()) for _ in range(3)]
    session.close()
    return session, frames


def test_a_recorded_session_replays_to_identical_frames(
    tiny_first_person_world: World, first_person_folder: Path, tmp_path: Path
) -> None:
    _, played = played_and_recorded(tiny_first_person_world, tmp_path / "r.mp4")
    recording = read_recording(session_path(tmp_path / "r.mp4"))
    assert [(log.start.context, len(log.actions)) for log in recording.episodes] == [(0, 4), (1, 3)]
    assert np.array_equal(list(replay(recording, loaded_as(recording, first_person_folder))), played)


def test_a_recording_of_a_context_that_these_weights_lack_is_refused(
    tiny_first_person_world: World, first_person_folder: Path, tmp_path: Path
) -> None:
    played_and_recorded(tiny_first_person_world, tmp_path / "r.mp4")
    recording = read_recording(tmp_path / "r.mp4")
    recording.episodes[1].start = replace(recording.episodes[1].start, context=6)
    with pytest.raises(DiamondError, match="episode 2 starts from context 6: these weights have 2 contexts"):
        list(replay(recording, loaded_as(recording, first_person_folder)))
