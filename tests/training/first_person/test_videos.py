"""Videos and logs that cannot be imported are named in one line that says why."""

import wave
from pathlib import Path

import pytest

from diamond_engine.errors import DiamondError
from tests.training.first_person.recordings import write_video
from training.first_person import videos
from training.first_person.videos import frames_at, read_log


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


TABLE = "time,keys,mouse_x,mouse_y,left_click,right_click\n0.50,w+space,25,-4,0,1\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (TABLE, "utf-8"),
        (TABLE, "utf-8-sig"),
        (TABLE.replace(",", ";"), "utf-8"),
        (TABLE.replace(",", ";").replace("0.50", "0,50"), "utf-8-sig"),
        (TABLE.replace(",", "\t"), "utf-8"),
        (TABLE.replace("\n", "\r\n\r\n"), "utf-8"),
        (TABLE.replace(",", ", "), "utf-8"),
    ],
    ids=["plain", "byte order mark", "semicolons", "spreadsheet", "tabs", "empty lines", "spaces"],
)
def test_logs_as_spreadsheets_save_them(text: str, encoding: str, tmp_path: Path) -> None:
    log = tmp_path / "play.csv"
    log.write_bytes(text.encode(encoding))
    (row,) = read_log(log)
    action = row.action
    assert (row.time, action.keys, action.mouse_x, action.mouse_y) == (0.5, ("w", "space"), 25, -4)
    assert (action.left_click, action.right_click) == (False, True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("play.csv", TABLE.encode("utf-16"), "is not text in UTF-8"),
        ("play.csv", TABLE.encode() + b"0.6,w,a,0,0,0\n", "line 3: could not convert"),
        ("play.csv", TABLE.encode() + b'0.6,"' + b"w" * 200_000, "line 3: field larger than"),
        ("play.csv", b"keys,mouse_x\nw,1\n", "line 2: it needs a time"),
        ("play.jsonl", b'{"time": 0.1}\n\n{"time": 1' + b"0" * 400 + b"}\n", "line 3: int too large"),
        ("play.jsonl", b'{"time": 0.1}\n' + b"[" * 100_000, "line 2: maximum recursion"),
        ("play.jsonl", b"[]\n", "line 1: "),
    ],
)
def test_a_damaged_log_is_named_with_its_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DiamondError, match=message) as raised:
        read_log(tmp_path / name)
    assert str(raised.value).count("\n") == 0


def test_times_and_sizes_of_pictures_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tmp_path / "play.mp4"
    write_video(video, frames=8)
    assert len(list(frames_at(video, 16.0))) > 2
    monkeypatch.setattr(videos, "LONGEST_STILL", 0.01)
    with pytest.raises(DiamondError, match=r"play\.mp4 is damaged after 0\.0 s"):
        list(frames_at(video, 16.0))
    monkeypatch.undo()
    monkeypatch.setattr(videos, "LARGEST_PICTURE", 320 * 180 - 1)
    with pytest.raises(DiamondError, match=r"play\.mp4 is"):
        list(frames_at(video, 16.0))
