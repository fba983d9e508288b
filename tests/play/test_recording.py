"""Recordings: videos that appear whole or not at all, session files that come back as they were."""

from pathlib import Path

import av
import numpy as np
import pytest

from diamond_engine.errors import DiamondError
from diamond_engine.games import Button
from play.latch import Input
from play.recording import EpisodeLog, Recording, read_recording, session_path, write_recording
from play.replay import replay
from play.session import Session, Settings
from play.sources import Start
from play.video import VideoWriter
from play.view import Command, Origin
from tests.play.stages import HEADER, endless_world, loaded_as, make_stage

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_video_shows_the_frames(tmp_path: Path) -> None:
    flat = [np.full((64, 64, 3), 40 * i, dtype=np.uint8) for i in range(5)]
    with VideoWriter(tmp_path / "v.mp4", 15.0) as writer:
        for frame in flat:
            writer.write(frame)
    shown = decoded(tmp_path / "v.mp4")
    assert [image.shape for image in shown] == [(384, 384, 3)] * 5
    assert [round(float(image.mean()) / 40) for image in shown] == [0, 1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_a_discarded_video_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with VideoWriter(tmp_path / "v.mp4", 15.0) as writer:
            for frame in FRAMES:
                writer.write(frame)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_is_an_error_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(DiamondError, match="nothing was played"):
        VideoWriter(tmp_path / "v.mp4", 15.0).finish()
    assert list(tmp_path.iterdir()) == []


def recording() -> Recording:
    logs = [
        EpisodeLog.starting(Origin.DREAM, Start(7), FRAMES[0]),
        EpisodeLog.starting(Origin.EMULATOR, Start(8, 3), FRAMES[1]),
    ]
    logs[0].append(2, FRAMES[3])
    logs[0].append(0, FRAMES[4])
    return Recording(HEADER, logs)


def test_a_session_file_comes_back_as_it_was(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.session.npz", recording())
    assert read_recording(tmp_path / "a.session.npz") == recording()
    assert read_recording(tmp_path / "a.mp4") == recording()


def test_damaged_and_missing_session_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.session.npz"
    with pytest.raises(DiamondError, match="no such session file"):
        read_recording(path)
    write_recording(path, recording())
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"not a zip", whole[:100] + bytes(100) + whole[200:]):
        path.write_bytes(damaged)
        with pytest.raises(DiamondError, match="not a readable session file"):
            read_recording(path)


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "a.session.npz"
    np.savez(path, header=np.array([{"world": "x"}], dtype=object))
    with pytest.raises(DiamondError, match="not a readable session file"):
        read_recording(path)


def test_recording_begins_with_the_episode_and_its_video_with_the_key(world_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.mp4"
    session = Session(make_stage(endless_world(world_folder), path), Settings(horizon=4))
    for step in range(7):
        if step == 2:
            session.obey(Command.RECORD)
            assert session.snapshot().recording
        session.advance(Input())
    session.close()
    assert len(decoded(path)) == 5
    assert [len(log.actions) for log in read_recording(session_path(path)).episodes] == [4, 3]


def test_the_emulator_replays_to_identical_frames(world_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.mp4"
    session = Session(make_stage(endless_world(world_folder), path), Settings(Start(3), origin=Origin.EMULATOR))
    session.obey(Command.RECORD)
    played = [session.advance(Input((Button.FIRE,)))]
    session.obey(Command.HAND_OVER)
    played += [session.advance(Input()) for _ in range(20)]
    session.close()
    recording = read_recording(path)
    frames = replay(recording, loaded_as(recording, world_folder))
    assert np.array_equal(list(frames), played)


def test_actions_that_the_game_does_not_have_are_refused(world_folder: Path) -> None:
    log = EpisodeLog(Origin.DREAM, Start(0), [4], [0, 0])
    with pytest.raises(DiamondError, match="actions that Breakout does not have"):
        list(replay(Recording(HEADER, [log]), loaded_as(Recording(HEADER, [log]), world_folder)))
