"""Next frames drawn with few and many denoising steps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diamond_engine.episodes import EpisodeFolder
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming
from training.evaluation.fidelity.denoising_steps import MARGIN, compare_denoising_steps, moving
from training.evaluation.fidelity.episodes import Start, draw_starts
from training.evaluation.reports.fidelity import PICTURED, comparison_picture
from training.evaluation.reports.pictures import GAP, LABEL_HEIGHT, LABEL_WIDTH, SCALE


def test_moving_pixels_have_a_margin() -> None:
    newest = np.zeros((2, 16, 16, 3), dtype=np.uint8)
    real = newest.copy()
    real[0, 8, 8, 1] = 17
    real[1, 8, 8, 1] = 16
    where = moving(newest, real)
    assert where.sum(axis=(1, 2)).tolist() == [(2 * MARGIN + 1) ** 2, 0]
    assert where[0, 8 - MARGIN : 8 + MARGIN + 1, 8 - MARGIN : 8 + MARGIN + 1].all()


def test_every_number_of_steps_starts_from_the_same_contexts_and_noise(
    world: World, how: Dreaming, episode_folder: Path
) -> None:
    folder = EpisodeFolder(episode_folder)
    starts = draw_starts(folder, 4, per_episode=1, seed=0)[:4]
    done: list[int] = []
    comparison = compare_denoising_steps(world, folder, starts, how, (1, 2, 1), 2, done.append)
    one, two, one_again = comparison.draws
    assert done[-1] == 3 * 4 * 2
    assert one.frames.shape == (4, 2, 64, 64, 3)
    assert np.array_equal(one.frames, one_again.frames)
    assert not np.array_equal(one.frames, two.frames)
    assert not np.array_equal(one.frames[:, 0], one.frames[:, 1])
    batched = compare_denoising_steps(world, folder, starts, replace(how, num_envs=8), (1,), 2).draws[0]
    assert np.array_equal(batched.frames[0, 0], one.frames[0, 0])
    for i, start in enumerate(starts):
        episode = folder[start.episode]
        following = (*episode.frames, episode.final_frame)[start.newest + 1]
        assert np.array_equal(comparison.newest[i], episode.frames[start.newest])
        assert np.array_equal(comparison.real[i], following)


def test_measures_are_of_the_pixels_that_really_change(world: World, how: Dreaming, episode_folder: Path) -> None:
    folder = EpisodeFolder(episode_folder)
    starts = draw_starts(folder, 4, per_episode=1, seed=0)[:3]
    comparison = compare_denoising_steps(world, folder, starts, how, (1, 3), 3)
    where = moving(comparison.newest, comparison.real)
    assert 0 < where.sum() < where.size
    for draws in comparison.draws:
        deviations = (draws.frames - draws.frames.mean(axis=1, keepdims=True)).swapaxes(0, 1)[:, where]
        assert draws.spread == pytest.approx(np.sqrt((deviations**2).mean()))
        assert draws.sharpness is not None
        assert draws.sharpness > 1


def test_nothing_is_said_of_sharpness_where_nothing_moves(
    world: World, how: Dreaming, tmp_path: Path, episode_folder: Path
) -> None:
    episode = EpisodeFolder(episode_folder)[0]
    still = EpisodeFolder(tmp_path)
    still.append(replace(episode, frames=np.zeros_like(episode.frames), final_frame=episode.final_frame * 0))
    (draws,) = compare_denoising_steps(world, still, [Start(0, 3, 1)], how, (1,), 2).draws
    assert (draws.sharpness, draws.spread) == (None, None)


def test_the_picture_shows_the_contexts_that_differ_most(world: World, how: Dreaming, episode_folder: Path) -> None:
    folder = EpisodeFolder(episode_folder)
    starts = draw_starts(folder, 4, per_episode=4, seed=0)[:12]
    comparison = compare_denoising_steps(world, folder, starts, how, (1, 2), 2)
    one, two = (draws.frames[:, 0].astype(int) for draws in comparison.draws)
    chosen = int(np.abs(one - two).mean(axis=(1, 2, 3)).argmax())
    picture = comparison_picture(comparison)
    assert picture.shape == (LABEL_HEIGHT + 4 * (128 + GAP), LABEL_WIDTH + PICTURED * (128 + GAP), 3)
    top = LABEL_HEIGHT + 128 + GAP
    shown = picture[top : top + 128 : SCALE, LABEL_WIDTH : LABEL_WIDTH + 128 : SCALE]
    assert np.array_equal(shown, comparison.real[chosen])
