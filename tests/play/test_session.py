"""What commands and steps do to a session, with a tiny world and the real emulator."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine.games import Button
from diamond_engine.worlds import read_world
from play.latch import Input
from play.session import Session, Settings
from play.sources import Start
from play.view import Command, Origin, Player
from tests.play.stages import endless_world, make_session, make_stage, obey

NOTHING = Input()


def pressing(*buttons: Button) -> Input:
    return Input(buttons)


def test_a_person_plays_with_buttons(world_folder: Path) -> None:
    session = make_session(world_folder)
    session.advance(pressing(Button.RIGHT))
    assert session.snapshot().action == "RIGHT"
    session.advance(pressing(Button.LEFT, Button.RIGHT, Button.FIRE))
    assert (session.snapshot().action, session.snapshot().step, session.frames) == ("FIRE", 2, 2)


def test_the_dream_answers_the_action(world_folder: Path) -> None:
    world = endless_world(world_folder)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in world.denoiser.parameters():  # a fresh network's last layer is 0: its frames ignore the action
            weights.normal_(0, 0.3, generator=generator)
    sessions = [Session(make_stage(world), Settings()) for _ in range(3)]
    buttons = (NOTHING, NOTHING, pressing(Button.RIGHT))
    frames = [session.advance(pressed) for session, pressed in zip(sessions, buttons, strict=True)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_handing_control_to_the_agent_and_back(world_folder: Path) -> None:
    session = make_session(world_folder)
    session.obey(Command.HAND_OVER)
    assert session.player is Player.AGENT
    actions = set()
    for _ in range(20):
        session.advance(pressing(Button.RIGHT))
        actions.add(session.snapshot().action)
    assert len(actions) > 1  # an untrained agent acts at random; the held button is not heard
    session.obey(Command.HAND_OVER)
    session.advance(pressing(Button.RIGHT))
    assert (session.player, session.snapshot().action) == (Player.PERSON, "RIGHT")


def test_a_world_without_an_agent_says_so(world_folder: Path) -> None:
    session = make_session(world_folder, agent=False)
    session.obey(Command.HAND_OVER)
    assert session.player is Player.PERSON
    assert session.snapshot().message == "this world has no agent to hand control to"


def test_messages_go_away(world_folder: Path) -> None:
    session = make_session(world_folder, Settings(horizon=1000), agent=False)
    session.obey(Command.HAND_OVER)
    for _ in range(45):
        assert session.snapshot().message
        session.advance(NOTHING)
    assert session.snapshot().message == ""


def test_pause_and_single_steps(world_folder: Path) -> None:
    session = make_session(world_folder)
    assert session.due
    session.obey(Command.PAUSE)
    assert not session.due
    session.obey(Command.SINGLE_STEP)
    assert session.due
    session.advance(NOTHING)
    assert not session.due
    session.obey(Command.PAUSE)
    assert session.due


def test_a_single_step_out_of_play_pauses(world_folder: Path) -> None:
    session = make_session(world_folder)
    session.obey(Command.SINGLE_STEP)
    session.advance(NOTHING)
    assert session.snapshot().paused
    assert not session.due


def test_the_horizon_ends_a_dream_and_the_next_begins(world_folder: Path) -> None:
    session = make_session(world_folder, Settings(horizon=3))
    steps = []
    for _ in range(7):
        session.advance(NOTHING)
        steps.append(session.snapshot().step)
    assert steps == [1, 2, 3, 1, 2, 3, 1]
    assert session.snapshot().message == "horizon reached, return 0"


def test_the_horizon_can_be_moved_but_not_to_nothing(world_folder: Path) -> None:
    session = make_session(world_folder, Settings(horizon=12))
    obey(session, Command.LONGER_HORIZON)
    assert session.horizon == 17
    obey(session, *[Command.SHORTER_HORIZON] * 9)
    assert session.horizon == 5
    short = make_session(world_folder, Settings(horizon=2))
    obey(short, Command.SHORTER_HORIZON)
    assert short.horizon == 2


def test_a_shorter_horizon_ends_the_dream_at_the_next_step(world_folder: Path) -> None:
    session = make_session(world_folder, Settings(horizon=10))
    for _ in range(7):
        session.advance(NOTHING)
    session.obey(Command.SHORTER_HORIZON)
    session.advance(NOTHING)
    assert session.snapshot().step == 8
    session.advance(NOTHING)
    assert session.snapshot().step == 1


def test_the_horizon_does_not_bound_the_emulator(world_folder: Path) -> None:
    session = make_session(world_folder, Settings(horizon=2, origin=Origin.EMULATOR))
    for _ in range(4):
        session.advance(NOTHING)
    assert (session.snapshot().origin, session.snapshot().step) == (Origin.EMULATOR, 4)
    session.close()


def test_reset_starts_another_episode_with_another_seed(world_folder: Path) -> None:
    session = make_session(world_folder)
    first = session.advance(NOTHING)
    session.obey(Command.RESET)
    assert (session.snapshot().step, session.frames) == (0, 1)
    assert not np.array_equal(session.advance(NOTHING), first)


def test_the_same_seed_gives_the_same_frames(world_folder: Path) -> None:
    settings = Settings(Start(5), horizon=3, player=Player.AGENT)
    first, second = (make_session(world_folder, settings) for _ in range(2))
    for _ in range(5):
        assert np.array_equal(first.advance(NOTHING), second.advance(NOTHING))


def test_switching_the_source_and_back(world_folder: Path) -> None:
    session = make_session(world_folder)
    session.obey(Command.SWITCH_SOURCE)
    real = session.advance(NOTHING)
    assert session.snapshot().origin is Origin.EMULATOR
    assert (real == 0).all(axis=-1).mean() > 0.5  # most of Breakout is black
    session.obey(Command.SWITCH_SOURCE)
    session.advance(NOTHING)
    assert (session.snapshot().origin, session.snapshot().step) == (Origin.DREAM, 1)
    session.close()


def test_a_source_that_cannot_be_opened_leaves_the_session_where_it_was(world_folder: Path) -> None:
    world = replace(endless_world(world_folder), contexts=None)
    session = Session(make_stage(world), Settings(origin=Origin.EMULATOR))
    session.advance(NOTHING)
    session.obey(Command.SWITCH_SOURCE)
    assert "has no start contexts" in session.snapshot().message
    session.advance(NOTHING)
    assert (session.snapshot().origin, session.snapshot().step) == (Origin.EMULATOR, 2)
    session.close()


def test_rewards_add_up_and_an_end_starts_another_episode(world_folder: Path) -> None:
    session = Session(make_stage(read_world(world_folder)), Settings(horizon=1000))
    steps = [0]
    for _ in range(40):
        session.advance(NOTHING)
        steps.append(session.snapshot().step)
        assert session.snapshot().episode_return in range(-steps[-1], steps[-1] + 1)
    ends = [before for before, after in pairwise(steps[1:]) if after == 1]
    assert ends  # the untrained reward/end model ends about every other step
    assert all(after in (1, before + 1) for before, after in pairwise(steps))


def test_a_recording_that_cannot_be_written_becomes_the_message(world_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    session = Session(make_stage(endless_world(world_folder), tmp_path / "file" / "x.mp4"), Settings())
    session.obey(Command.RECORD)
    session.advance(NOTHING)
    session.obey(Command.RECORD)
    assert "cannot write the video" in session.snapshot().message
    assert not session.snapshot().recording


@pytest.mark.parametrize("origin", Origin)
def test_a_snapshot_keeps_its_frame(world_folder: Path, origin: Origin) -> None:
    session = make_session(world_folder, Settings(origin=origin))
    session.advance(NOTHING)
    snapshot = session.snapshot()
    before = snapshot.frame.copy()
    for _ in range(3):
        session.advance(pressing(Button.RIGHT))
    assert np.array_equal(snapshot.frame, before)
    session.close()
