"""Videos that cannot be imported are named in one line that says why."""

import wave
from pathlib import Path

import pytest

from diamond_engine.errors import DiamondError
from training.first_person.videos import frames_at


def test_a_file_that_is_no_video_is_named_once(tmp_path: Path) -> None:
    video = tmp_path / "play.mp4"
    video.write_bytes(b"this is no video" * 200)

    with pytest.raises(DiamondError) as raised:
        list(frames_at(video, 16.0))

    assert str(raised.value) == f"{video} is not a readable video: Invalid data found when processing input"


def test_a_file_of_sound_alone_holds_no_pictures(tmp_path: Path) -> None:
    video = tmp_path / "play.mp4"
    with wave.open(str(video), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(16000))

    with pytest.raises(DiamondError, match=r"play\.mp4 holds no pictures"):
        list(frames_at(video, 16.0))
