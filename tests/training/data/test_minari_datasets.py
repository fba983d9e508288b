"""Minari's datasets: read, learned from, written again and equal; made and read by minari itself."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from minari.data_collector import EpisodeBuffer

from diamond_engine.episodes import COLUMNS, Episode, EpisodeFolder
from diamond_engine.games import game_named
from tests.diamond_engine.games.environments import MODULE, Axes, Square
from tests.training.trainers import denoiser_trainer, run
from training.data.episodes import GameEpisodes
from training.data.minari_datasets import METADATA, ORIGIN

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")
SQUARE = f"{MODULE}:Square-v0"


def good(*arguments: str | int | Path) -> str:
    code, said = run(*arguments)
    assert code == 0, said
    return said


def play(env: Square, steps: int, actions: Sequence[Any], size: tuple[int, ...] = (64, 64, 3)) -> EpisodeBuffer:
    """An episode of so many steps, and how minari takes it."""
    rng = np.random.default_rng(steps)
    observations = rng.integers(256, size=(steps + 1, *size), dtype=np.uint8)
    if size == (64, 64, 3):
        observations = np.stack([env.reset(seed=steps)[0], *(env.step(action)[0] for action in actions)])
    last = np.arange(steps) == steps - 1
    rewards = rng.integers(-1, 2, steps).astype(np.float64)
    return EpisodeBuffer(
        observations=observations,
        actions=np.array(actions),
        rewards=rewards,
        terminations=last,
        truncations=~last & last,
    )


def dataset(
    name: str, episodes: list[EpisodeBuffer], actions: gymnasium.Space, pictures: gymnasium.Space, **more: Any
) -> None:
    minari.create_dataset_from_buffers(name, episodes, action_space=actions, observation_space=pictures, **more)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Minari's own folder of datasets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.fixture
def walks(root: Path) -> str:
    """A dataset of the walking square, as minari writes it: pictures as JPEG."""
    env, rng = Square(), np.random.default_rng(0)
    episodes = [play(env, steps, rng.integers(4, size=steps).tolist()) for steps in (14, 20, 9)]
    dataset("mine/walks-v0", episodes, Square.action_space, Square.observation_space)
    return "mine/walks-v0"


def test_read_learned_from_written_again_and_equal(walks: str, root: Path, tmp_path: Path) -> None:
    read, again = tmp_path / "read", tmp_path / "again"
    assert "3 episodes of 43 steps" in good("import-minari", walks, "--out", read, "--game", SQUARE)
    assert "3 episodes of 43 steps" in good("import-minari", walks, "--out", read, "--game", SQUARE), "once is enough"
    for source, episode in zip(minari.load_dataset(walks), map(EpisodeFolder(read).__getitem__, range(3)), strict=True):
        np.testing.assert_array_equal(source.observations, [*episode.frames, episode.final_frame])
        np.testing.assert_array_equal(source.actions, episode.actions)
        np.testing.assert_array_equal(source.rewards, episode.rewards)
        np.testing.assert_array_equal(source.terminations, episode.terminated)
    assert episode.attributes == {"game": f"gym:{SQUARE}", "policy": walks, ORIGIN: f"{walks}/2"}

    assert GameEpisodes(read, game_named(f"gym:{SQUARE}")).facts()["policies"] == {walks: 43}
    trainer = denoiser_trainer(read)
    assert all(np.isfinite(float(trainer.update()["loss"])) for _ in range(3))

    assert "43 steps" in good("export-minari", read, "--out", root / "back-v1")
    written = minari.load_dataset("back-v1")
    assert (written.total_steps, written.action_space, written.storage.jpeg_encoding) == (43, Discrete(5), False)
    good("import-minari", root / "back-v1", "--out", again)
    assert_same(EpisodeFolder(read), EpisodeFolder(again))


def assert_same(one: EpisodeFolder, other: EpisodeFolder) -> None:
    for mine, its in zip(map(one.__getitem__, range(len(one))), map(other.__getitem__, range(len(other))), strict=True):
        for name in ("frames", *COLUMNS):
            np.testing.assert_array_equal(getattr(mine, name), getattr(its, name))
        assert {**mine.attributes, ORIGIN: ""} == {**its.attributes, ORIGIN: ""}


def test_vectors_of_a_first_person_game_go_there_and_back(tmp_path: Path) -> None:
    rng, nothing = np.random.default_rng(0), np.zeros(4, dtype=np.float32)
    frames = rng.integers(256, size=(5, 30, 40, 3), dtype=np.uint8)
    actions = rng.integers(2, size=(4, 2), dtype=np.uint8)
    facts = {"video": "play.mp4", "key_map": json.dumps({"keys": ["w", "a"]})}
    EpisodeFolder(tmp_path / "data").append(
        Episode(frames[:-1], actions, nothing, nothing > 0, nothing > 0, frames[-1], facts)
    )
    good("export-minari", tmp_path / "data", "--out", tmp_path / "mine-v0")
    good("import-minari", tmp_path / "mine-v0", "--out", tmp_path / "back")
    assert_same(EpisodeFolder(tmp_path / "data"), EpisodeFolder(tmp_path / "back"))


def test_grey_pictures_and_continuous_actions_become_the_games(root: Path, tmp_path: Path) -> None:
    space = Axes.action_space
    assert isinstance(space, Box)
    pushes = [space.low, np.zeros(space.shape), 0.9 * space.high, space.high]
    dataset("axes-v0", [play(Square(), 4, pushes, (48, 36))], space, Box(0, 255, (48, 36), np.uint8))
    said = good("import-minari", "axes-v0", "--out", tmp_path / "out", "--game", f"{MODULE}:Axes-v0", "--size", 32)
    assert "1 actions became the nearest" in said
    episode = EpisodeFolder(tmp_path / "out")[0]
    assert episode.frames.shape == (4, 32, 32, 3)
    assert (episode.frames[..., 0] == episode.frames[..., 2]).all()
    assert episode.actions[2] == episode.actions[3] != episode.actions[0]
    assert episode.actions[1] == 0, "the first action is the neutral one"


def test_the_game_is_what_the_dataset_says(root: Path, tmp_path: Path) -> None:
    gymnasium.register("MinariSquare-v0", entry_point=f"{MODULE}:Square")
    dataset("named-v0", [play(Square(), 3, [1, 2, 3])], Discrete(5), Square.observation_space, env="MinariSquare-v0")
    good("import-minari", "named-v0", "--out", tmp_path / "out")
    assert EpisodeFolder(tmp_path / "out")[0].attributes["game"] == "gym:MinariSquare-v0"


def test_what_cannot_be_is_refused_in_one_line(walks: str, root: Path, tmp_path: Path) -> None:
    small = Box(0, 1, (2,), np.float64)
    blind = EpisodeBuffer(observations=np.zeros((2, 2)), actions=[0], rewards=[0.0], terminations=[0], truncations=[0])
    dataset("blind-v0", [blind], Discrete(5), small)
    dataset("more-v0", [play(Square(), 3, [0, 0, 0]), play(Square(), 2, [0, 0])], Discrete(9), Square.observation_space)
    damaged, silent = root / "damaged-v0" / "data", root / "silent-v0" / "data"
    for folder, name in ((damaged, "main_data.hdf5"), (silent, METADATA)):
        folder.mkdir(parents=True)
        for file in (root / walks / "data").iterdir():
            (folder / file.name).write_bytes(file.read_bytes()[: 2000 if file.name == name else None])
    (silent / METADATA).write_text(json.dumps({"total_episodes": 1, "data_format": "hdf5"}))
    data = tmp_path / "data"
    good("import-minari", walks, "--out", data, "--game", SQUARE)
    dials = f"{MODULE}:Dials-v0"
    for words, code, reason in (
        (("import-minari", "nowhere", "--out", data), 2, "no Minari dataset 'nowhere'"),
        (("import-minari", walks, "--out", tmp_path / "a"), 2, "does not say which game"),
        (("import-minari", walks, "--out", tmp_path / "a", "--game", "nonesuch"), 2, "unknown Atari game"),
        (("import-minari", walks, "--out", tmp_path / "a", "--game", dials), 2, "are none of"),
        (("import-minari", "more-v0", "--out", data, "--game", SQUARE, "--size", 32), 2, "holds frames of 64x64"),
        (("import-minari", "more-v0", "--out", data, "--game", dials), 2, f"is an episode of gym:{SQUARE}"),
        (("import-minari", "blind-v0", "--out", tmp_path / "a", "--game", SQUARE), 2, "has no image observations"),
        (("import-minari", "damaged-v0", "--out", tmp_path / "a", "--game", SQUARE), 1, "is not a readable Minari"),
        (("import-minari", "silent-v0", "--out", tmp_path / "a", "--game", SQUARE), 1, "does not say what its obs"),
        (("export-minari", tmp_path / "a", "--out", tmp_path / "mine-v0"), 2, "no episodes in"),
        (("export-minari", data, "--out", tmp_path / "mine"), 2, "names datasets such as mine-v0"),
        (("export-minari", data, "--out", root / "blind-v0"), 2, "is there already"),
    ):
        exited, said = run(*words)
        assert (exited, reason in said, said.count("\n")) == (code, True, 1), said
    with patch.dict(sys.modules, {"minari": None}):
        for words in (("import-minari", walks, "--out", data), ("export-minari", data, "--out", tmp_path / "mine-v0")):
            code, said = run(*words)
            assert (code, "pip install 'diamond-engine[minari]'" in said) == (1, True), said


def test_episodes_of_two_games_are_two_datasets(walks: str, tmp_path: Path) -> None:
    good("import-minari", walks, "--out", tmp_path / "data", "--game", SQUARE)
    nothing, frames = np.zeros(2, dtype=np.float32), np.zeros((2, 32, 32, 3), dtype=np.uint8)
    still = Episode(frames, nothing.astype(int), nothing, nothing > 0, nothing > 0, frames[0], {"game": "Pong"})
    EpisodeFolder(tmp_path / "data").append(still)
    code, said = run("export-minari", tmp_path / "data", "--out", tmp_path / "mine-v0")
    assert (code, "is of another game or size" in said) == (2, True), said
    assert not (tmp_path / "mine-v0").exists()
    assert [*tmp_path.glob(".*")] == []
