"""Dreams of a world in training depend on the seed, the world and the replay, and on nothing else."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from diamond_engine.episodes import EpisodeFolder
from diamond_engine.errors import DiamondError
from diamond_engine.frames import from_numpy
from diamond_engine.worlds import DiffusionPreset
from tests.conftest import collect_random, tiny_world
from tests.training.trainers import RUNTIME
from training.algorithm.dreams import Dreams

PAPER = (0.1, 0.1, 0.1, 0.7)


def _dreams(episodes: Path, batch_size: int = 3, ages: tuple[float, ...] = PAPER) -> Dreams:
    dreams = Dreams(EpisodeFolder(episodes), ages, 4, batch_size, DiffusionPreset(), RUNTIME)
    dreams.enter(tiny_world())
    return dreams


def _dreamt(dreams: Dreams, seed: int) -> list[Tensor]:
    obs, _ = dreams.reset(seed)
    frames = [obs]
    for action in range(4):
        frames.append(dreams.step(torch.full((dreams.num_envs,), action))[0])
    return frames


def test_same_seed_same_dreams_whatever_was_dreamt_before(episode_folder: Path) -> None:
    dreams = _dreams(episode_folder)
    first = _dreamt(dreams, 5)
    other = _dreamt(dreams, 6)
    assert not torch.equal(first[0], other[0])
    assert all(map(torch.equal, _dreamt(dreams, 5), first))
    assert all(map(torch.equal, _dreamt(_dreams(episode_folder), 5), first))


def test_dreams_start_in_the_episodes_of_the_favoured_age(episode_folder: Path) -> None:
    folder = EpisodeFolder(episode_folder)
    newest = {from_numpy(frame, RUNTIME.device).numpy().tobytes() for frame in folder[len(folder) - 1].frames}
    ages = (*[0.0] * (len(folder) - 1), 1.0)
    obs, _ = _dreams(episode_folder, 8, ages).reset(0)
    assert all(image.contiguous().numpy().tobytes() in newest for image in obs)


def test_episodes_shorter_than_a_context_are_no_start(tmp_path: Path) -> None:
    (episode, *_) = collect_random(tmp_path / "source", 40)
    folder = EpisodeFolder(tmp_path / "short")
    short = {name: getattr(episode, name)[:3] for name in ("frames", "actions", "rewards", "terminated", "truncated")}
    folder.append(type(episode)(**short, final_frame=episode.final_frame))
    with pytest.raises(DiamondError, match=r"no episode in .*short has 4 steps"):
        _dreams(tmp_path / "short").reset(0)
