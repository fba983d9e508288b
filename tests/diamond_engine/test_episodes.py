"""Episodes on disk and the segments drawn from them."""

import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from diamond_engine.episodes import (
    Episode,
    EpisodeFolder,
    SegmentSampler,
    cut,
    episode_name,
    read_episode,
    write_episode,
)
from diamond_engine.errors import DiamondError
from diamond_engine.frames import to_uint8

CPU = torch.device("cpu")


def make_episode(steps: int, seed: int = 0, terminated: bool = True) -> Episode:
    """Frames, actions and rewards that tell where they come from."""
    rng = np.random.default_rng(seed)
    last = np.arange(steps) == steps - 1
    return Episode(
        frames=rng.integers(256, size=(steps, 6, 8, 3), dtype=np.uint8),
        actions=rng.integers(1, 4, size=steps),
        rewards=rng.integers(1, 9, size=steps).astype(np.float32),
        terminated=last & terminated,
        truncated=last & (not terminated),
        final_frame=rng.integers(256, size=(6, 8, 3), dtype=np.uint8),
        attributes={"game": "Breakout", "seed": seed, "epsilon": 0.25},
    )


def assert_same(actual: Episode, expected: Episode) -> None:
    for name in ("frames", "actions", "rewards", "terminated", "truncated", "final_frame"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name))
        assert getattr(actual, name).dtype == getattr(expected, name).dtype
    assert actual.attributes == expected.attributes


def folder_of(path: Path, *lengths: int) -> EpisodeFolder:
    folder = EpisodeFolder(path)
    for i, length in enumerate(lengths):
        folder.append(make_episode(length, seed=i))
    return folder


class TestFile:
    def test_round_trip(self, tmp_path: Path) -> None:
        episode = make_episode(5)
        write_episode(tmp_path / "e.h5", episode)
        assert_same(read_episode(tmp_path / "e.h5"), episode)
        assert episode.score == episode.rewards.sum()

    def test_is_chunked_by_frame(self, tmp_path: Path) -> None:
        write_episode(tmp_path / "e.h5", make_episode(5))
        with h5py.File(tmp_path / "e.h5") as file:
            frames = file["frames"]
            assert isinstance(frames, h5py.Dataset)
            assert frames.chunks == (1, 6, 8, 3)
            assert file.attrs["format"] == 1

    def test_a_real_episode(self, episode_folder: Path) -> None:
        episode = EpisodeFolder(episode_folder)[0]
        assert episode.frames.shape[1:] == episode.final_frame.shape == (64, 64, 3)
        assert episode.terminated.nonzero()[0].tolist() == [len(episode) - 1]
        assert episode.attributes["game"] == "Breakout"
        assert (episode.final_frame != episode.frames[-1]).any()

    @pytest.mark.parametrize("kept", [0, 100, -1])
    def test_truncated_file_is_named(self, tmp_path: Path, kept: int) -> None:
        folder = folder_of(tmp_path, 5, 5)
        path = folder.paths[1]
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(DiamondError, match=rf"{path.name} is not a readable episode.*delete it"):
            EpisodeFolder(tmp_path)
        with pytest.raises(DiamondError, match=path.name):
            read_episode(path)

    def test_missing_file_and_foreign_file(self, tmp_path: Path) -> None:
        with pytest.raises(DiamondError, match=r"nothing\.h5"):
            read_episode(tmp_path / "nothing.h5")
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["x"] = 1
        with pytest.raises(DiamondError, match="not an episode of format 1"):
            read_episode(tmp_path / "other.h5")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"rewards": np.zeros(3, dtype=np.float32)},
            {"frames": np.zeros((5, 6, 8), dtype=np.uint8)},
            {"frames": np.zeros((5, 6, 8, 3), dtype=np.float32)},
            {"final_frame": np.zeros((4, 8, 3), dtype=np.uint8)},
            {"actions": np.zeros(5, dtype=np.float32)},
            {"rewards": np.full(5, b"one")},
        ],
    )
    def test_arrays_that_do_not_fit_together(self, tmp_path: Path, wrong: dict[str, np.ndarray]) -> None:
        write_episode(tmp_path / "e.h5", replace(make_episode(5), **wrong))
        with pytest.raises(DiamondError, match="not a valid episode"):
            read_episode(tmp_path / "e.h5")


class TestAtomic:
    def test_a_failed_write_leaves_nothing(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, 5)
        with pytest.raises(TypeError):
            folder.append(replace(make_episode(5), attributes={"bad": object()}))  # pyright: ignore[reportArgumentType]
        assert [path.name for path in tmp_path.iterdir()] == ["episode_000000.h5"]
        assert len(EpisodeFolder(tmp_path)) == len(folder) == 1

    def test_a_killed_writer_leaves_whole_episodes(self, tmp_path: Path) -> None:
        code = f"""
import os, signal
from pathlib import Path
from diamond_engine.episodes import EpisodeFolder
from tests.diamond_engine.test_episodes import make_episode
folder = EpisodeFolder(Path({str(tmp_path)!r}))
folder.append(make_episode(5))

os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
folder.append(make_episode(5))
"""
        killed = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[2])
        assert killed.returncode == -signal.SIGKILL
        assert len(list(tmp_path.iterdir())) == 2  # the first episode and a hidden one that has no name yet
        folder = EpisodeFolder(tmp_path)
        assert [path.name for path in folder.paths] == ["episode_000000.h5"]
        assert_same(folder[0], make_episode(5))
        assert folder.append(make_episode(5)).name == "episode_000001.h5"

    def test_a_full_disk_is_one_error_and_loses_nothing(self, tmp_path: Path) -> None:
        code = f"""
import resource, signal
from pathlib import Path
from diamond_engine.episodes import EpisodeFolder
from tests.diamond_engine.test_episodes import make_episode
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = EpisodeFolder(Path({str(tmp_path)!r}))
folder.append(make_episode(5))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    folder.append(make_episode(50))
except OSError as error:
    print(error.filename)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[2], text=True, check=True
        )
        assert done.stdout.strip() == str(tmp_path / "episode_000001.h5")
        assert [path.name for path in tmp_path.iterdir()] == ["episode_000000.h5"]

    def test_two_writers_never_take_the_same_number(self, tmp_path: Path) -> None:
        one, other = EpisodeFolder(tmp_path), EpisodeFolder(tmp_path)
        one.append(make_episode(5))
        assert other.append(make_episode(6)).name == "episode_000001.h5"
        assert one.append(make_episode(7)).name == "episode_000002.h5"
        assert EpisodeFolder(tmp_path).lengths.tolist() == [5, 6, 7]


class TestFolder:
    def test_numbers_go_on_after_gaps(self, tmp_path: Path) -> None:
        folder_of(tmp_path, 2, 3, 4).paths[1].unlink()
        folder = EpisodeFolder(tmp_path)
        assert folder.lengths.tolist() == [2, 4]
        assert folder.append(make_episode(5)).name == "episode_000003.h5"
        assert folder.num_steps == 11

    def test_ignores_other_files(self, tmp_path: Path) -> None:
        folder_of(tmp_path, 2)
        for name in ("episode_1.h5", ".episode_000001.h5.12.part", "episode_000001.h5.bak", "notes.txt"):
            (tmp_path / name).write_text("x")
        assert len(EpisodeFolder(tmp_path)) == 1

    def test_refresh_notices_what_another_process_did(self, tmp_path: Path) -> None:
        reader = folder_of(tmp_path, 2, 3, 4)
        expected = [reader[i] for i in range(3)]
        EpisodeFolder(tmp_path).append(make_episode(5, seed=9))
        reader.paths[0].unlink()
        reader.refresh()
        assert reader.lengths.tolist() == [3, 4, 5]
        assert_same(reader[0], expected[1])
        assert_same(reader[1], expected[2])
        assert_same(reader[2], make_episode(5, seed=9))

    def test_serves_the_same_with_a_tiny_cache(self, tmp_path: Path) -> None:
        folder_of(tmp_path, 2, 3, 4)
        small, large = EpisodeFolder(tmp_path, cache_bytes=1), EpisodeFolder(tmp_path)
        for index in (0, 1, 2, 1, 0):
            assert_same(small[index], large[index])
        assert large[0] is large[0]

    def test_a_folder_yet_to_be(self, tmp_path: Path) -> None:
        folder = EpisodeFolder(tmp_path / "later")
        assert len(folder) == folder.num_steps == 0
        with pytest.raises(DiamondError, match=r"no episodes in .*later: collect some first"):
            SegmentSampler(folder, 4).episode_probabilities()

    def test_what_episodes_say_of_themselves(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, 2)
        assert folder.attribute("origin") == set()
        for origin in ("one", "other", "other"):
            folder.append(replace(make_episode(2), attributes={"origin": origin}))
        assert folder.attribute("origin") == {"one", "other"}


class TestCut:
    episode = make_episode(6)

    @pytest.mark.parametrize(
        ("start", "is_step", "is_frame"),
        [
            (0, "1111", "1111"),
            (2, "1111", "1111"),
            (3, "1110", "1111"),
            (5, "1000", "1100"),
            (6, "0000", "1000"),
            (-1, "0111", "0111"),
            (-3, "0001", "0001"),
            (-4, "0000", "0000"),
        ],
    )
    def test_places(self, start: int, is_step: str, is_frame: str) -> None:
        row = cut(self.episode, start, 4)
        assert row["is_step"].tolist() == [c == "1" for c in is_step]
        assert row["is_frame"].tolist() == [c == "1" for c in is_frame]
        everything = np.concatenate((self.episode.frames, self.episode.final_frame[None]))
        for i, step in enumerate(range(start, start + 4)):
            if row["is_step"][i]:
                assert row["actions"][i] == self.episode.actions[step]
                assert row["rewards"][i] == self.episode.rewards[step]
                assert row["ends"][i] == (step == 5)
            else:
                assert not row["actions"][i]
                assert not row["rewards"][i]
                assert not row["ends"][i]
            np.testing.assert_array_equal(row["frames"][i], everything[step] if row["is_frame"][i] else 0)

    def test_longer_than_the_episode(self) -> None:
        row = cut(self.episode, -2, 10)
        assert row["is_step"].tolist() == [False] * 2 + [True] * 6 + [False] * 2
        assert row["is_frame"].tolist() == [False] * 2 + [True] * 7 + [False]

    def test_a_truncation_is_no_end(self) -> None:
        assert not cut(make_episode(3, terminated=False), 0, 4)["ends"].any()


class TestSampler:
    def test_batch(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, 20)
        batch = SegmentSampler(folder, 5).draw(np.random.default_rng(0), 32, CPU)
        assert batch.obs.shape == (32, 5, 3, 6, 8)
        assert batch.obs.dtype == torch.float32
        assert batch.act.dtype == torch.int64
        assert batch.rewards.dtype == torch.float32
        assert batch.ends.dtype == batch.is_frame.dtype == batch.is_step.dtype == torch.bool
        assert batch.obs.abs().max() <= 1
        assert not batch.obs[~batch.is_frame].any()
        whole = folder[0].all_frames.reshape(21, -1)
        for frame in to_uint8(batch.obs[batch.is_frame]).numpy():
            assert (whole == frame.reshape(-1)).all(axis=1).any()

    def test_seeded(self, tmp_path: Path) -> None:
        sampler = SegmentSampler(folder_of(tmp_path, 20, 30), 5)
        one, same, other = (sampler.draw(np.random.default_rng(seed), 8, CPU) for seed in (0, 0, 1))
        assert torch.equal(one.obs, same.obs)
        assert not torch.equal(one.obs, other.obs)

    @pytest.mark.parametrize("length", [5, 30])
    def test_pads_only_the_start(self, tmp_path: Path, length: int) -> None:
        sampler = SegmentSampler(folder_of(tmp_path, 8, 20), length)
        batch = sampler.draw(np.random.default_rng(0), 256, CPU)
        assert batch.is_frame[:, -1].all()
        assert (batch.is_frame.diff(dim=1).sum(dim=1) <= 1).all()
        assert (~batch.is_frame[:, 0]).any()
        assert batch.ends.any()

    def test_pads_no_start_where_that_is_off(self, tmp_path: Path) -> None:
        sampler = SegmentSampler(folder_of(tmp_path, 3, 8), 5, before_start=False)
        batch = sampler.draw(np.random.default_rng(0), 256, CPU)
        assert batch.is_frame[:, 0].all()
        short = batch.places[:, 0] == 0
        assert short.any()
        assert not batch.is_frame[short, -1].any()
        assert batch.is_frame[~short].all()
        assert (batch.places[:, 1] >= 0).all()

    def test_may_run_beyond_the_end(self, tmp_path: Path) -> None:
        sampler = SegmentSampler(folder_of(tmp_path, 8), 5, beyond_end=True)
        batch = sampler.draw(np.random.default_rng(0), 256, CPU)
        assert (~batch.is_frame[:, -1]).any()
        assert batch.is_frame.any(dim=1).all()

    def test_reaches_every_frame(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, 8)
        whole = folder[0].all_frames.reshape(9, -1)
        for beyond_end in (False, True):
            batch = SegmentSampler(folder, 3, beyond_end=beyond_end).draw(np.random.default_rng(0), 256, CPU)
            seen = to_uint8(batch.obs[batch.is_frame]).numpy().reshape(-1, 1, whole.shape[1])
            assert (seen == whole).all(axis=2).any(axis=0).all()

    @pytest.mark.parametrize("beyond_end", [False, True])
    def test_places_segments_over_events(self, tmp_path: Path, beyond_end: bool) -> None:
        folder = EpisodeFolder(tmp_path)
        for seed, rewarded in ((0, [50]), (1, []), (2, [3, 20])):
            rewards = np.isin(np.arange(60), rewarded).astype(np.float32)
            folder.append(replace(make_episode(60, seed, terminated=seed < 2), rewards=rewards))
        sampler = SegmentSampler(folder, 4, beyond_end=beyond_end, event_share=1.0)
        batch = sampler.draw(np.random.default_rng(0), 400, CPU)
        transitions = batch.is_step[:, :-1] & batch.is_frame[:, 1:]
        rewarded = (transitions & (batch.rewards[:, :-1] != 0)).any(dim=1)
        ended = (transitions & batch.ends[:, :-1]).any(dim=1)
        assert (rewarded | ended).all()
        assert 0.4 < rewarded.float().mean() < 0.6

    def test_without_events_segments_are_drawn_as_ever(self, tmp_path: Path) -> None:
        folder = EpisodeFolder(tmp_path)
        folder.append(replace(make_episode(9, terminated=False), rewards=np.zeros(9, dtype=np.float32)))
        one = SegmentSampler(folder, 4, event_share=1.0).draw(np.random.default_rng(0), 8, CPU)
        other = SegmentSampler(folder, 4).draw(np.random.default_rng(0), 8, CPU)
        assert torch.equal(one.obs, other.obs)

    def test_notices_the_events_of_new_episodes(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, 5)
        assert [len(kind) for kind in folder.events()] == [5, 1]
        folder.append(make_episode(7, seed=1))
        assert [kind.max(axis=0).tolist() for kind in folder.events()] == [[1, 6], [1, 6]]

    def test_probabilities_follow_age_and_length(self, tmp_path: Path) -> None:
        sampler = SegmentSampler(folder_of(tmp_path, 10, 30, 10, 10, 10, 10, 40, 10), 4)
        expected = [0.025, 0.075, 0.05, 0.05, 0.05, 0.05, 0.56, 0.14]
        np.testing.assert_allclose(sampler.episode_probabilities(), expected)

    def test_few_episodes_are_drawn_by_length(self, tmp_path: Path) -> None:
        sampler = SegmentSampler(folder_of(tmp_path, 10, 30), 4)
        np.testing.assert_allclose(sampler.episode_probabilities(), [0.25, 0.75])

    def test_draws_follow_the_age_weights(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path, 10, 10, 10, 10)
        batch = SegmentSampler(folder, 1, age_weights=(0.1, 0.2, 0.3, 0.4)).draw(np.random.default_rng(0), 4000, CPU)
        owner = {frame.tobytes(): i for i in range(4) for frame in (*folder[i].frames, folder[i].final_frame)}
        counts = Counter(owner[frame.tobytes()] for frame in to_uint8(batch.obs[:, 0]).numpy())
        shares = np.array([counts[i] for i in range(4)]) / 4000
        np.testing.assert_allclose(shares, (0.1, 0.2, 0.3, 0.4), atol=0.03)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rewards", np.nan, "rewards that are not finite"),
        ("actions", -1, "actions that are not from 0 to 3"),
        ("actions", 4, "actions that are not from 0 to 3"),
    ],
)
def test_values_that_cannot_be_are_refused(
    name: str, value: float, message: str, episode_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / episode_name(0)
    path.write_bytes(EpisodeFolder(episode_folder).paths[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file[name][1] = value
    with pytest.raises(DiamondError, match=message):
        read_episode(path)


def test_an_episode_of_more_frames_than_are_stored_is_refused(episode_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / episode_name(0)
    path.write_bytes(EpisodeFolder(episode_folder).paths[0].read_bytes())
    with h5py.File(path, "r+") as file:
        del file["frames"]
        file.create_dataset("frames", shape=(10**9, 64, 64, 3), dtype=np.uint8, chunks=(1, 64, 64, 3))
    with pytest.raises(DiamondError, match="is not a readable episode"):
        read_episode(path)
    with pytest.raises(DiamondError, match="actions, 1000000000 frames"):
        EpisodeFolder(tmp_path)
