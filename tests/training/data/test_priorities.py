"""Frames that the model was wrong about are drawn more often."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine.diffusion import SamplerLevels
from diamond_engine.episodes import Episode, EpisodeFolder
from training.data.priorities import EXPONENT, FORGETTING, Priorities

LENGTH = 4


def episode(steps: int) -> Episode:
    return Episode(
        frames=np.zeros((steps, 8, 8, 3), np.uint8),
        actions=np.zeros(steps, np.int64),
        rewards=np.zeros(steps, np.float32),
        terminated=np.zeros(steps, bool),
        truncated=np.zeros(steps, bool),
        final_frame=np.zeros((8, 8, 3), np.uint8),
    )


@pytest.fixture
def folder(tmp_path: Path) -> EpisodeFolder:
    """Episodes of 5 and 3 steps: 6 and 4 frames to predict."""
    folder = EpisodeFolder(tmp_path)
    for steps in (5, 3):
        folder.append(episode(steps))
    return folder


def shares(priorities: Priorities, draws: int = 20_000) -> dict[tuple[int, int], float]:
    """How often each frame is the one to predict: by episode and step."""
    places = priorities.draw(np.random.default_rng(0), draws) + np.array([0, LENGTH])
    pairs, counts = np.unique(places, axis=0, return_counts=True)
    return {(int(index), int(step)): count / draws for (index, step), count in zip(pairs, counts, strict=True)}


def test_frames_that_nobody_looked_at_are_all_alike(folder: EpisodeFolder) -> None:
    drawn = shares(Priorities(folder, LENGTH))
    assert set(drawn) == {*((0, step) for step in range(6)), *((1, step) for step in range(4))}
    assert all(share == pytest.approx(0.1, abs=0.01) for share in drawn.values())


def test_large_errors_are_drawn_more_often(folder: EpisodeFolder) -> None:
    priorities = Priorities(folder, LENGTH)
    everywhere = np.array([(0, step - LENGTH) for step in range(6)] + [(1, step - LENGTH) for step in range(4)])
    errors = np.ones(10, np.float32)
    errors[7] = 32.0
    priorities.update(everywhere, errors)
    share = 32.0**EXPONENT / (9 + 32.0**EXPONENT)
    assert shares(priorities)[1, 1] == pytest.approx(share, abs=0.015)


def test_errors_rise_at_once_and_sink_slowly(folder: EpisodeFolder) -> None:
    priorities, place = Priorities(folder, LENGTH), np.array([[1, 2 - LENGTH]])
    for error, kept in ((4.0, 4.0), (8.0, 8.0), (0.0, 8.0 * (1 - FORGETTING))):
        priorities.update(place, np.array([error], np.float32))
        assert priorities.state_dict()["errors"][6 + 2] == pytest.approx(kept)


def test_what_is_known_survives_growth_and_saving(folder: EpisodeFolder) -> None:
    priorities = Priorities(folder, LENGTH)
    priorities.update(np.array([[1, -LENGTH]]), np.array([5.0], np.float32))
    folder.append(episode(7))
    restored = Priorities(folder, LENGTH)
    restored.load_state_dict(priorities.state_dict())
    rngs = [np.random.default_rng(1) for _ in range(2)]
    one, other = (known.draw(rng, 200) for known, rng in zip((priorities, restored), rngs, strict=True))
    assert np.array_equal(one, other)
    errors = restored.state_dict()["errors"]
    assert len(errors) == 6 + 4 + 8
    assert errors[6] == 5.0
    assert errors.isnan().sum() == 17


def test_an_episode_without_a_whole_context_has_no_frame_to_predict(folder: EpisodeFolder) -> None:
    folder.append(episode(2))
    priorities = Priorities(folder, LENGTH)
    priorities.update(np.array([[1, 0], [2, 0]]), np.array([3.0, 5.0], np.float32))
    assert priorities.state_dict()["errors"].isnan().all()


def test_a_frame_of_a_large_error_is_any_of_those_predicted(folder: EpisodeFolder) -> None:
    priorities, levels = Priorities(folder, LENGTH, predicted=3), SamplerLevels()
    everywhere = np.array([(0, step - LENGTH) for step in range(6)] + [(1, step - LENGTH) for step in range(4)])
    priorities.update(everywhere, np.zeros(10, np.float32))
    first = torch.full((2,), levels.sampler.sigma_max)
    priorities.note(levels, np.array([[0, 1 - LENGTH], [1, -LENGTH]]), 2, first, torch.tensor([7.0, 0.0]))
    assert priorities.state_dict()["errors"].tolist() == [0, 0, 0, 7, 0, 0, 0, 0, 0, 0]
    drawn = priorities.draw(np.random.default_rng(0), 3000)
    assert not drawn[:, 0].any()
    counts = np.bincount(3 - LENGTH - drawn[:, 1], minlength=3) / 3000
    assert counts == pytest.approx([1 / 3] * 3, abs=0.03)


def test_padding_before_an_episode_is_no_frame_of_another(folder: EpisodeFolder) -> None:
    priorities = Priorities(folder, LENGTH, predicted=2)
    priorities.update(np.array([[1, -LENGTH - 1], [0, -LENGTH - 1]]), np.zeros(2, np.float32))
    assert priorities.state_dict()["errors"].isnan().all()


def test_unknown_errors_are_found_once_each(folder: EpisodeFolder) -> None:
    priorities = Priorities(folder, 2)
    found = priorities.unknown(2)
    assert found.tolist() == [[0, 0], [1, 1]]  # of episodes of 6 and 4 frames, those with two frames before them
    priorities.update(found, np.ones(2, np.float32))
    rest = priorities.unknown(100)
    assert rest.tolist() == [[0, 1], [0, 2], [0, 3], [1, 0]]
    priorities.update(rest, np.ones(4, np.float32))
    assert priorities.unknown(100).shape == (0, 2)


def test_frames_without_a_whole_context_are_not_drawn(folder: EpisodeFolder) -> None:
    priorities = Priorities(folder, 2, before_start=False)
    assert priorities.draw(np.random.default_rng(0), 1000)[:, 1].min() == 0
    too_long = Priorities(folder, 6, before_start=False)  # no frame has one: then all are alike
    assert set(too_long.draw(np.random.default_rng(0), 1000)[:, 0].tolist()) == {0, 1}
