"""Videos and logs that cannot be imported are named in one line that says why."""

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from diamond_engine.actions import KeyMap
from diamond_engine.errors import DiamondError, UsageError
from tests.training.first_person.recordings import write_video
from tests.training.trainers import run
from training.first_person import videos
from training.first_person.videos import frames_at, parsed_size, read_log


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
        ("play.csv", TABLE.encode() + b"0.4,w,0,0,0,0\n", "line 3: time 0.4 after 0.5: it runs backwards"),
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


def test_a_log_holds_what_the_game_has(tmp_path: Path) -> None:
    (tmp_path / "play.csv").write_text(TABLE)
    for key_map, reason in ((KeyMap(("w",)), "unknown key 'space'"), (KeyMap(("w", "space")), "no right click")):
        with pytest.raises(DiamondError, match=f"play.csv, line 2: .*{reason}"):
            read_log(tmp_path / "play.csv", key_map)


@pytest.mark.parametrize("text", ["281x150", "280x151", "35x150", "280", "x", "9000x150", "-280x150"])
def test_a_size_that_no_network_takes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="multiples of 5"):
        parsed_size(text)


def test_frames_have_the_size_asked_for(tmp_path: Path) -> None:
    video = tmp_path / "play.mp4"
    write_video(video, frames=3)
    assert {frame.shape for frame in frames_at(video, 16.0, parsed_size("120x80"))} == {(80, 120, 3)}


def test_frames_follow_the_times_of_a_video_whose_rate_varies(tmp_path: Path) -> None:
    video = tmp_path / "play.mkv"
    times = (0.0, 0.1, 0.5, 0.52, 0.54, 1.0)
    with av.open(str(video), "w") as container:
        stream = container.add_stream("ffv1", rate=100)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        stream.codec_context.time_base = Fraction(1, 100)
        for i, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * i, dtype=np.uint8), format="rgb24")
            picture.pts, picture.time_base = round(100 * time), Fraction(1, 100)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    shown = [int(frame[0, 0, 0]) // 40 for frame in frames_at(video, 10.0, (40, 40))]
    assert shown == [0, 1, 1, 1, 1, 2, 4, 4, 4, 4, 5]


UPRIGHT = (1, 0, 0, 1)


def display_matrix(a: int, b: int, c: int, d: int) -> bytes:
    """How pictures of an MP4 file are turned, as cameras write it: [[a, b], [c, d]] in nine numbers."""
    return struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("matrix", "bright"),
    [(UPRIGHT, "top"), ((0, -1, 1, 0), "left"), ((-1, 0, 0, -1), "bottom"), ((0, 1, -1, 0), "right")],
)
def test_a_video_that_is_to_be_turned_is_turned(matrix: tuple[int, int, int, int], bright: str, tmp_path: Path) -> None:
    video = tmp_path / "play.mp4"
    picture = np.zeros((64, 96, 3), dtype=np.uint8)
    picture[:16] = 255
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    of_film, of_track, after = video.read_bytes().split(display_matrix(*UPRIGHT))
    video.write_bytes(display_matrix(*UPRIGHT).join((of_film, of_track)) + display_matrix(*matrix) + after)
    frame = next(frames_at(video, 10.0, (40, 40))).mean(axis=-1)
    sides = {"top": frame[0], "bottom": frame[-1], "left": frame[:, 0], "right": frame[:, -1]}
    assert max(sides, key=lambda side: sides[side].mean()) == bright


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "play.mp4", frames=6)
    (tmp_path / "play.csv").write_text("time,keys\n0,w\n")
    (tmp_path / "keys.yaml").write_text("keys: [w]")
    (tmp_path / "wrong.yaml").write_text("keys: [hyper]")
    words = ("import-videos", tmp_path, "--out", tmp_path / "data")
    assert run(*words)[0] == 0
    for more, code, said in (
        (("--size", "120x80"), 2, "holds frames of 280x150"),
        (("--key-map", tmp_path / "keys.yaml"), 2, "another key map"),
        (("--key-map", tmp_path / "wrong.yaml"), 2, "keys has no 'hyper'"),
        (("--key-map", tmp_path / "none.yaml"), 2, "missing"),
        (("--size", "big"), 2, "--size takes"),
    ):
        exited, line = run(*words, *more)
        assert (exited, said in line, line.count("\n")) == (code, True, 1), line
