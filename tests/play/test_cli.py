"""The command itself: what it writes, says and exits with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from diamond_engine.contexts import read_contexts
from diamond_engine.games import ATARI_GAMES
from play.recording import read_recording, write_recording
from play.window import DISPLAY_VARIABLES
from tests.programs import diamond_play

REPORT_KEYS = {
    "fps",
    "plain_fps",
    "compiled_fps",
    "compiled",
    "runtime",
    "step_ms_p50",
    "step_ms_p95",
    "step_ms_p99",
    "deadline_misses",
    "time_to_first_frame_s",
    "frames",
    "device",
    "dtype",
    "preset",
    "seed",
}


def environment(**extra: str) -> dict[str, str]:
    """This process's, without a display."""
    kept = {name: value for name, value in os.environ.items() if name not in DISPLAY_VARIABLES}
    return kept | {"COLUMNS": "200", **extra}


def run(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """In this process."""
    return diamond_play(*arguments, folder=folder, **extra)


def process(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, whose environment counts from the start."""
    command = [sys.executable, "-m", "play", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**extra), capture_output=True, text=True, timeout=600, check=False
    )


Start = Callable[..., subprocess.CompletedProcess[str]]


def frame_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_headless_play_writes_video_and_report(world_folder: Path, tmp_path: Path) -> None:
    outputs = ("--video", "out.mp4", "--report", "out.json")
    options = ("--headless", "--frames", "12", "--preset", "fast", "--dtype", "float32", "--seed", "3")
    done = process(tmp_path, "atari", "breakout", "--weights", str(world_folder), *options, *outputs)
    assert done.returncode == 0, done.stderr
    assert frame_count(tmp_path / "out.mp4") == 12
    report = json.loads((tmp_path / "out.json").read_text())
    assert report.keys() >= REPORT_KEYS
    assert all(isinstance(value, (str, int, float)) for value in report.values())
    settings = {name: report[name] for name in ("frames", "device", "dtype", "preset", "steps", "seed", "player")}
    assert settings == {
        "frames": 12,
        "device": "cpu",
        "dtype": "float32",
        "preset": "fast",
        "steps": 1,
        "seed": 3,
        "player": "agent",
    }
    assert 0 < report["fps"] < 16  # paced to 15 Hz
    assert 0 < report["step_ms_p50"] <= report["step_ms_p95"] <= report["step_ms_p99"]
    assert report["time_to_first_frame_s"] > 0
    assert files_in(tmp_path) == {"out.mp4", "out.json"}


def test_without_a_display_it_writes_a_video_and_says_where(world_folder: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "atari", "Breakout", "--weights", str(world_folder), "--frames", "5")
    assert done.returncode == 0, done.stderr
    assert "no display" in done.stdout
    assert "diamond-Breakout.mp4" in done.stdout
    assert frame_count(tmp_path / "diamond-Breakout.mp4") == 5


def played(start: Start, world: Path, folder: Path, *options: str, **extra: str) -> tuple[str, dict[str, object]]:
    """What a short headless session says, and its report."""
    outputs = ("--headless", "--frames", "3", "--report", "out.json")
    done = start(folder, "atari", "Breakout", "--weights", str(world), *outputs, *options, **extra)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "out.json").read_text())


@pytest.mark.slow
def test_the_first_start_plays_at_once_and_the_second_with_kernels(
    quick_compiler: str, world_folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    environment = {"DIAMOND_CACHE": str(cache), "CXX": quick_compiler}
    said, first = played(process, world_folder, tmp_path, **environment)
    assert first["compiled"] or "kernels are being built" in said
    while not list(cache.glob("*.so")):
        time.sleep(0.05)
    said, second = played(process, world_folder, tmp_path, **environment)
    assert second["dtype"] == first["dtype"]
    assert str(second["runtime"]) in said
    if second["compiled"]:
        assert ", compiled" in said
        assert (second["plain_fps"], first["compiled_fps"] == 0) == (0, not first["compiled"])
    else:
        assert "not compiled: torch convolves faster" in said


def test_kernels_can_be_declined(world_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    said, report = played(run, world_folder, tmp_path, "--no-compile", "--dtype", "float32", DIAMOND_CACHE=str(cache))
    assert (report["compiled"], report["compiled_fps"]) == (False, 0)
    assert "compiled" not in said
    assert not cache.exists()


def test_without_a_compiler_it_plays_and_says_so(world_folder: Path, tmp_path: Path) -> None:
    nowhere = {"DIAMOND_CACHE": str(tmp_path / "cache"), "CXX": "nonesuch"}
    said, report = played(run, world_folder, tmp_path, **nowhere)
    assert not report["compiled"]
    assert len(said.strip().splitlines()) == 1
    assert "not compiled: no C++ compiler (nonesuch)" in said


def test_a_window_without_a_screen_plays_and_records(world_folder: Path, tmp_path: Path) -> None:
    options = ("--agent", "--frames", "6", "--horizon", "4", "--record", "play.mp4", "--report", "out.json")
    done = run(tmp_path, "atari", "Breakout", "--weights", str(world_folder), *options, SDL_VIDEODRIVER="dummy")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["frames"] == 6
    assert files_in(tmp_path) == {"play.mp4", "play.session.npz", "out.json"}


def test_a_recording_replays_to_identical_frames_or_says_which_differs(world_folder: Path, tmp_path: Path) -> None:
    options = ("--headless", "--frames", "8", "--horizon", "3", "--record", "play.mp4")
    played = run(tmp_path, "atari", "Breakout", "--weights", str(world_folder), *options)
    assert played.returncode == 0, played.stderr
    replayed = run(tmp_path, "replay", "play.mp4", "--video", "again.mp4")
    assert replayed.returncode == 0, replayed.stderr
    assert "8 frames" in replayed.stdout
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "play.mp4").read_bytes()

    recording = read_recording(tmp_path / "play.mp4")
    recording.episodes[1].digests[1] ^= 1
    write_recording(tmp_path / "other.session.npz", recording)
    refused = run(tmp_path, "replay", "other.session.npz", "--video", "other.mp4")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: frame 1 of episode 2 differs from the recording")
    assert not (tmp_path / "other.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--frames", "0"), 2, "--frames must be at least 1, not 0"),
        (("--steps", "0"), 2, "--steps must be at least 1, not 0"),
        (("--horizon", "-1"), 2, "--horizon must be at least 1, not -1"),
        (("--preset", "best"), 2, "unknown preset 'best'"),
        (("--dtype", "int8"), 2, "unknown dtype 'int8'"),
        (("--device", "toaster"), 2, "unknown device 'toaster'"),
        (("--weights", "nowhere"), 2, "nowhere"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(
    world_folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    weights = () if "--weights" in arguments else ("--weights", str(world_folder))
    outputs = ("--headless", "--video", "out.mp4", "--report", "out.json")
    done = run(tmp_path, "atari", "Breakout", *weights, *outputs, *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert words in done.stderr
    assert files_in(tmp_path) == set()


def test_an_unknown_game_is_answered_with_the_nearest(tmp_path: Path) -> None:
    done = run(tmp_path, "atari", "Brekout")
    assert done.returncode == 2
    assert done.stderr == "error: unknown Atari game 'Brekout': did you mean Breakout, Qbert, SirLancelot?\n"


def test_a_missing_recording_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "replay", "nothing.mp4")
    assert (done.returncode, done.stderr) == (2, "error: no such session file: nothing.session.npz\n")


def test_a_headless_replay_records_what_was_recorded_at_its_context(first_person_folder: Path, tmp_path: Path) -> None:
    outputs = ("--record", "r.mp4", "--video", "out.mp4", "--report", "out.json")
    options = ("--headless", "--frames", "10", "--replay", "--context", "1", "--dtype", "float32")
    done = run(tmp_path, "csgo", "--weights", str(first_person_folder), *options, *outputs)
    assert done.returncode == 0, done.stderr
    assert frame_count(tmp_path / "out.mp4") == 10
    report = json.loads((tmp_path / "out.json").read_text())
    assert (report["player"], report["upsampler_steps"], report["world"]) == ("recorded player", 1, "csgo")
    assert report["dynamics_ms_p50"] > 0
    assert report["upsampler_ms_p50"] > 0
    contexts = read_contexts(first_person_folder / "contexts.npz")
    assert contexts.recorded is not None
    assert read_recording(tmp_path / "r.mp4").episodes[0].actions == [
        tuple(action) for action in contexts.recorded[1, :10].tolist()
    ]
    replayed = run(tmp_path, "replay", "r.mp4")
    assert replayed.returncode == 0, replayed.stderr
    assert "10 frames in 1 episodes, all identical" in replayed.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--context", "2"), 2, "--context 2: csgo has contexts 0 to 1"),
        (("--context", "-1"), 2, "--context must be at least 0, not -1"),
        (("--upsampler-steps", "0"), 2, "--upsampler-steps must be at least 1, not 0"),
        (("--sensitivity", "0"), 2, "--sensitivity must be above 0, not 0"),
        (("--preset", "best"), 2, "unknown preset 'best'"),
    ],
)
def test_wrong_first_person_options_are_one_line(
    first_person_folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = run(tmp_path, "csgo", "--headless", "--weights", str(first_person_folder), *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert words in done.stderr
    assert files_in(tmp_path) == set()


def test_a_world_that_is_not_on_the_hub_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "doom", "--headless", "--weights", "hub")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "there is no world 'doom' yet" in done.stderr


@pytest.mark.slow
def test_the_bundled_doom_plays_offline_and_replays_to_identical_frames(tmp_path: Path) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "none")}
    options = ("--headless", "--frames", "6", "--context", "1", "--record", "r.mp4", "--report", "out.json")
    done = process(tmp_path, "doom", *options, **offline)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "out.json").read_text())
    assert (facts["world"], facts["frames"]) == ("doom", 6)
    again = run(tmp_path, "replay", "r.mp4")
    assert again.returncode == 0, again.stderr


def test_doom_plays_a_world_folder_and_refuses_one_of_an_atari_game(
    first_person_folder: Path, world_folder: Path, tmp_path: Path
) -> None:
    options = ("--headless", "--frames", "3", "--dtype", "float32", "--report", "out.json")
    done = run(tmp_path, "doom", "--weights", str(first_person_folder), *options)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["world"] == "doom"
    (tmp_path / "out.json").unlink()
    refused = run(tmp_path, "doom", "--weights", str(world_folder), *options)
    assert refused.returncode == 2
    assert (
        refused.stderr == f"error: {world_folder} is a world of Breakout, not a first-person one: use other weights\n"
    )
    assert files_in(tmp_path) == set()


def test_csgo_without_network_or_cache_says_what_to_get_and_what_plays_offline(tmp_path: Path) -> None:
    empty = str(tmp_path)  # also of compilers: no kernels are built for what cannot be played
    done = process(tmp_path, "csgo", "--headless", HF_HUB_OFFLINE="1", HF_HOME=empty, DIAMOND_CACHE=empty, PATH=empty)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    for part in ("csgo/model/csgo.pt (1527 MB)", "csgo/spawn", "--weights PATH", "'diamond-play atari Breakout'"):
        assert part in done.stderr


@pytest.mark.parametrize(
    "driver",
    [
        pytest.param({}, id="headless"),
        pytest.param({"SDL_VIDEODRIVER": "dummy"}, id="window", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_exits_130_and_leaves_nothing_half_written(
    world_folder: Path, tmp_path: Path, driver: dict[str, str]
) -> None:
    arguments = ["--weights", str(world_folder), "--frames", "100000", "--video", "out.mp4", "--report", "out.json"]
    command = [sys.executable, "-m", "play", "atari", "Breakout", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(**driver), stdout=pipe, stderr=pipe, text=True
    ) as player:
        while player.poll() is None and not any(path.stat().st_size for path in tmp_path.glob(".out.mp4.*")):
            time.sleep(0.05)
        player.send_signal(signal.SIGINT)
        _, errors = player.communicate(timeout=600)
    assert (player.returncode, errors) == (130, "interrupted\n")
    assert files_in(tmp_path) == set()


def test_list_shows_every_game_and_its_origin(tmp_path: Path) -> None:
    done = run(tmp_path, "list")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if "atari/" in line]
    assert {row[0] for row in rows} >= {f"atari/{game}" for game in ATARI_GAMES}
    assert {row[1].rstrip(":") for row in rows} <= {"bundled", "downloaded", "hub"}
    assert {"csgo", "doom"} <= {line.split()[0] for line in done.stdout.splitlines() if line.split()}


def test_doctor_says_what_this_machine_will_do(tmp_path: Path) -> None:
    done = run(tmp_path, "doctor")
    assert done.returncode == 0, done.stderr
    subjects = [line.split()[0] for line in done.stdout.splitlines()]
    assert subjects[:9] == ["python", "torch", "runs", "speed", "display", "gamepads", "ROMs", "worlds", "hub"]
    assert "problem   no display" in done.stdout
    assert "frames/s" in done.stdout or "unknown: other programs take" in done.stdout
    assert "26 of 26 games" in done.stdout


def test_help_needs_no_torch(tmp_path: Path) -> None:
    commands = ("", "atari", "csgo", "doom", "serve", "export", "replay", "list", "doctor")
    probe = (
        "import os, sys\n"
        "from play.cli import main\n"
        f"for command in {commands!r}:\n"
        "    sys.argv = ['diamond-play', *command.split(), '--help']\n"
        "    try: main()\n"
        "    except SystemExit as end: print('ended:', command, end.code)\n"
        "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ends = [line for line in done.stdout.splitlines() if line.startswith("ended:")]
    assert ends == [f"ended: {command} 0" for command in commands]
    assert done.stdout.count("Usage: ") == len(commands)
    assert done.stdout.splitlines()[-1] == f"{os.environ.get('GOMP_SPINCOUNT', '1000')} False"
