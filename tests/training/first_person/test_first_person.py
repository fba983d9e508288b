"""From recordings to a played world: real HDF5 files, real tars, tiny networks."""

import io
import os
import tarfile
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
import torch
from rich.console import Console

from diamond_engine import load_world
from diamond_engine.actions import csgo
from diamond_engine.episodes import EpisodeFolder
from tests.programs import diamond_eval, diamond_play
from tests.training.first_person.recordings import arguments_of_training, good, write_recording, write_video
from tests.training.trainers import metrics_of, run
from training.first_person.footage import Originals, Prepared, Segments
from training.first_person.shards import csgo_test_split, read_manifest, shard_path, shrink


def trained(data: Path, out: Path, *more: str) -> str:
    return good(*arguments_of_training(data, out, *more))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good recordings; the second is of the published test split."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in (1, 3, 4):
        write_recording(folder / f"hdf5_dm_july2021_{number}.hdf5", number)
    return folder


@pytest.fixture(scope="module")
def tars(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tars: a duplicate at their boundary, a truncated HDF5, and the second cut off in its last member."""
    folder = tmp_path_factory.mktemp("tars")
    one, three, four = sorted(recordings.iterdir())
    with tarfile.open(folder / "1_to_3.tar", "w") as tar:
        tar.add(one, one.name)
        tar.add(three, three.name)
    with tarfile.open(folder / "3_to_6.tar", "w") as tar:
        tar.add(three, three.name)
        tar.add(four, four.name)
        content = one.read_bytes()[:900_000]
        header = tarfile.TarInfo("hdf5_dm_july2021_5.hdf5")
        header.size = len(content)
        tar.addfile(header, io.BytesIO(content))
        tar.add(one, "hdf5_dm_july2021_6.hdf5")
    os.truncate(folder / "3_to_6.tar", (folder / "3_to_6.tar").stat().st_size - 1_000_000)
    return folder


@pytest.fixture(scope="module")
def prepared(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The tars, prepared, and what the command said."""
    out = tmp_path_factory.mktemp("prepared") / "data"
    return out, good("csgo-data", "prepare", tars, out, "--workers", 2)


def test_what_is_good_in_damaged_tars_is_kept_and_the_rest_listed(prepared: tuple[Path, str]) -> None:
    folder, said = prepared
    manifest = read_manifest(folder)
    assert [entry.name for entry in manifest.entries] == [f"hdf5_dm_july2021_{n}.hdf5" for n in (1, 3, 4)]
    assert [entry.held_out for entry in manifest.entries] == [False, True, False]
    assert manifest.damaged.keys() == {"hdf5_dm_july2021_5.hdf5", "hdf5_dm_july2021_6.hdf5"}
    assert manifest.duplicates == 1
    assert "3_to_6.tar ends in the middle" in said
    assert len(csgo_test_split()) == 500


def test_prepared_and_original_recordings_read_the_same(recordings: Path, prepared: tuple[Path, str]) -> None:
    shards, originals = Prepared(prepared[0]), Originals(recordings, Console(quiet=True))
    for clip in range(3):
        for read in ("low_res", "full_res", "actions"):
            assert np.array_equal(getattr(shards, read)(clip, 2, 9), getattr(originals, read)(clip, 2, 9)), read
    with h5py.File(recordings / "hdf5_dm_july2021_1.hdf5") as file:
        assert np.array_equal(shards.full_res(0, 5, 6)[0], np.asarray(file["frame_5_x"])[..., ::-1])
        assert np.array_equal(shards.actions(0, 5, 6)[0], np.asarray(file["frame_5_y"]))
    records = np.load(shard_path(prepared[0], "hdf5_dm_july2021_1.hdf5"))
    assert records["event"].tolist() == [0, 0, 0, 1, 0, 2] + [0] * 8


def test_shrinking_keeps_the_mean_and_a_flat_picture() -> None:
    frames = np.random.default_rng(0).integers(60, 200, size=(1, 150, 280, 3), dtype=np.uint8)
    small = shrink(frames)
    assert small.shape == (1, 30, 56, 3)
    assert abs(small.mean() - frames.mean()) < 0.5
    assert small.std() < 0.35 * frames.std()
    assert (shrink(np.full_like(frames, 77)) == 77).all()


def test_an_altered_shard_is_found_and_preparing_again_makes_that_alone(tars: Path, prepared: tuple[Path, str]) -> None:
    folder = prepared[0]
    assert "is whole" in good("csgo-data", "check", folder)
    path = shard_path(folder, "hdf5_dm_july2021_4.hdf5")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code, said = run("csgo-data", "check", folder)
    assert code == 1
    assert "hdf5_dm_july2021_4.hdf5.npy was altered or damaged" in said
    path.unlink()
    kept = {file: file.stat().st_mtime_ns for file in path.parent.glob("*.npy")}
    said = good("csgo-data", "prepare", tars, folder, "--workers", 1)
    assert "5 recordings, 2 of them are prepared" in said
    assert path.read_bytes() == content
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_full_resolution_shards_need_no_originals(recordings: Path, tmp_path: Path) -> None:
    good("csgo-data", "prepare", recordings, tmp_path, "--workers", 1, "--full-res")
    expected = Originals(recordings, Console(quiet=True)).full_res(2, 1, 4)
    assert np.array_equal(Prepared(tmp_path).full_res(2, 1, 4), expected)
    assert read_manifest(tmp_path).entries[0].full_res is not None


def test_batches_are_numbered_and_leave_out_what_is_held_out(prepared: tuple[Path, str]) -> None:
    footage = Prepared(prepared[0])
    segments = Segments(footage, 4, 6, seed=1, full_res=True)
    again = Segments(footage, 4, 6, seed=1, full_res=True)
    assert all(np.array_equal(a, b) for a, b in zip(segments.read(7), again.read(7), strict=True))
    assert not np.array_equal(segments.read(7)[0], segments.read(8)[0])
    held_out = footage.full_res(1, 0, 14)
    for number in range(3):
        for row in segments.read(number)[0]:
            assert not any(np.array_equal(row[0], frame) for frame in held_out)


def test_both_stages_train_continue_and_are_played(prepared: tuple[Path, str], tmp_path: Path) -> None:
    said = trained(prepared[0], tmp_path)
    assert "3 updates of 2 x 2 segments of 6 frames" in said
    assert "GiB of memory" in said
    trained(prepared[0], tmp_path, "--set", "dynamics.updates=5")
    world = load_world("csgo", weights=tmp_path)
    assert world.upsampler is not None
    assert world.contexts is not None
    assert world.contexts.recorded is not None
    assert world.config.provenance["denoiser"]["updates"] == 5
    options = ("--headless", "--frames", 3, "--replay", "--video", tmp_path / "x.mp4")
    result = diamond_play("csgo", "--weights", tmp_path, *options)
    assert result.returncode == 0, result.stderr
    with av.open(str(tmp_path / "x.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) >= 3


AVERAGED = ["--components", "dynamics", "--set", "dynamics.optimiser.warmup_steps=0", "--set", "dynamics.ema_decay=0.5"]
"""One stage, of which an average of the weights is exported."""


@pytest.fixture(scope="module")
def averaged(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three updates of it, undisturbed."""
    out = tmp_path_factory.mktemp("averaged")
    trained(recordings, out, *AVERAGED)
    return out


def test_stopping_in_between_changes_nothing(recordings: Path, averaged: Path, tmp_path: Path) -> None:
    trained(recordings, tmp_path, *AVERAGED, "--set", "dynamics.updates=1")
    trained(recordings, tmp_path, *AVERAGED)
    assert metrics_of(tmp_path / "dynamics")[-1] == metrics_of(averaged / "dynamics")[-1]
    parts, whole = load_world(tmp_path), load_world(averaged)
    assert whole.upsampler is None
    assert all(map(torch.equal, parts.denoiser.parameters(), whole.denoiser.parameters()))


def test_the_average_of_the_weights_is_exported(averaged: Path) -> None:
    state = torch.load(averaged / "dynamics" / "checkpoints" / "step_00000003.pt", weights_only=True)["trainer"]
    exported = [*load_world(averaged).denoiser.parameters()]
    assert all(map(torch.equal, exported, state["ema"]["average"]))
    names = [name for name, _ in load_world(averaged).denoiser.named_parameters()]
    assert not all(torch.equal(state["network"][name], value) for name, value in zip(names, exported, strict=True))


def test_a_training_starts_from_a_world(recordings: Path, averaged: Path, tmp_path: Path) -> None:
    still = ["--set", "dynamics.optimiser.learning_rate=1e-12", "--set", "dynamics.context_noise_mean=-2.5"]
    init = ["--init", str(averaged)]
    trained(recordings, tmp_path / "second", "--components", "dynamics", *init, *still)
    first, second = load_world(averaged), load_world(tmp_path / "second")
    for old, new in zip(first.denoiser.parameters(), second.denoiser.parameters(), strict=True):
        assert torch.allclose(old, new, atol=1e-6)
    assert second.config.provenance["denoiser"]["init"]["updates"] == 3
    code, said = run(*arguments_of_training(recordings, tmp_path / "third", "--components", "upsampler", *init))
    assert (code, said.splitlines()[-1]) == (1, "error: csgo, given as --init, has no upsampler")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["csgo", "--data", "NONE", "--out", "OUT"], 2, "no such folder of recordings"),
        (["csgo", "--data", "DATA", "--out", "OUT", "--components", "eyes"], 2, "use dynamics, upsampler"),
        (["csgo", "--data", "DATA", "--out", "OUT", "--set", "dynamics.batchsize=1"], 2, "did you mean"),
        (
            ["csgo", "--data", "DATA", "--out", "OUT", "--set", "networks.dynamics.inner_model.channels=[32,48,64,64]"],
            2,
            "cannot be built",
        ),
        (["csgo-data", "prepare", "NONE", "OUT"], 2, "is no tar, no folder"),
        (["csgo-data", "check", "DATA"], 1, "is not fully prepared"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], code: int, message: str, recordings: Path, tmp_path: Path
) -> None:
    names = {"NONE": str(tmp_path / "none"), "OUT": str(tmp_path / "out"), "DATA": str(recordings)}
    answer, said = run(*(names.get(argument, argument) for argument in arguments))
    assert answer == code, said
    assert message in said
    assert said.count("\n") == 1


def test_own_game_from_a_video_and_a_log(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "play.mp4")
    (videos / "play.csv").write_text(
        "time,keys,mouse_x,mouse_y,left_click,right_click\n0.0,w,0,0,0,0\n0.07,w+space,25,0,1,0\n0.08,w,35,0,0,0\n"
    )
    assert "19 steps" in good("import-videos", videos, "--out", tmp_path / "data")
    episode = EpisodeFolder(tmp_path / "data")[0]
    assert episode.frames.shape == (19, 150, 280, 3)
    assert np.diff(episode.frames[:, 75, 140, 0].astype(int)).min() > 5
    acts = [csgo.decode(action) for action in episode.actions[:3]]
    assert [act.keys for act in acts] == [("w",), ("w", "space"), ("w",)]
    assert (acts[1].mouse_x, acts[1].left_click, acts[2].left_click) == (60.0, True, False)
    assert "0 steps" in good("import-videos", videos, "--out", tmp_path / "data")
    trained(tmp_path / "data", tmp_path / "run", "--components", "dynamics")
    assert load_world(tmp_path / "run").contexts is not None


def test_a_game_of_ones_own_keys_and_size_is_trained_and_played(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "play.mp4")
    (videos / "play.csv").write_text("time,keys,mouse_x,right_click\n0.0,a,0,0\n0.07,e+left ctrl,25,1\n0.5,d,0,0\n")
    (tmp_path / "keys.yaml").write_text(
        "keys: [a, d, e, left ctrl]\nbuttons: [right click]\nmouse_x: [5, 40]\nnever_together: [a+d]\n"
    )
    how = ("--size", "120x80", "--key-map", tmp_path / "keys.yaml")
    good("import-videos", videos, "--out", tmp_path / "data", *how)
    episode = EpisodeFolder(tmp_path / "data")[0]
    assert (episode.frames.shape, episode.actions.shape) == ((19, 80, 120, 3), (19, 10))
    assert np.flatnonzero(episode.actions[1]).tolist() == [0, 2, 3, 4, 9], "a is still down at first"
    assert "0 steps" in good("import-videos", videos, "--out", tmp_path / "data", *how)

    good("csgo-data", "prepare", tmp_path / "data", tmp_path / "prepared", "--workers", 1)
    prepared, original = Prepared(tmp_path / "prepared"), Originals(tmp_path / "data", Console(file=io.StringIO()))
    assert prepared.key_map == original.key_map
    np.testing.assert_array_equal(prepared.actions(0, 2, 6), episode.actions[2:6])

    trained(tmp_path / "data", tmp_path / "run", "--set", "name=mine")
    world = load_world(tmp_path / "run")
    assert world.game.key_map == original.key_map
    assert (world.config.num_actions, world.config.frame_height, world.config.frame_width) == (10, 80, 120)
    shown = ["--weights", tmp_path / "run", "--headless", "--frames", 2, "--no-compile", "--video", tmp_path / "x.mp4"]
    assert diamond_play("csgo", *shown).returncode == 0
    report = ["--device", "cpu", "--report", tmp_path / "response.json", "--picture", tmp_path / "x.png"]
    assert diamond_eval("response", tmp_path / "run", "--contexts", 1, *report).returncode == 0
    assert "turn_left_fast" in (tmp_path / "response.json").read_text().replace(" ", "_")


def test_recordings_of_two_key_maps_are_not_mixed(tmp_path: Path) -> None:
    for folder, keys in (("one", "keys: [w]"), ("two", "keys: [w, a]")):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "play.mp4", frames=6)
        (tmp_path / folder / "play.csv").write_text("time,keys\n0,w\n")
        (tmp_path / "keys.yaml").write_text(keys)
        data = tmp_path / f"data {folder}"
        good("import-videos", tmp_path / folder, "--out", data, "--key-map", tmp_path / "keys.yaml")
    (tmp_path / "data two" / "episode_000000.h5").rename(tmp_path / "data one" / "episode_000001.h5")
    code, said = run(*arguments_of_training(tmp_path / "data one", tmp_path / "run"))
    assert (code, "recordings of 2 key maps" in said) == (1, True), said
    code, said = run("csgo-data", "prepare", tmp_path / "data one", tmp_path / "prepared", "--workers", 1)
    assert (code, "different key maps" in said) == (2, True), said


def test_a_bad_row_of_a_log_is_named(tmp_path: Path) -> None:
    write_video(tmp_path / "play.mp4", frames=4)
    (tmp_path / "play.jsonl").write_text('{"time": 0, "keys": ["w"]}\n{"time": 1, "keys": ["x"]}\n')
    code, said = run("import-videos", tmp_path, "--out", tmp_path / "data")
    assert code == 1
    assert "play.jsonl, line 2: unknown key 'x'" in said
