"""Dreams and judgements measured on real episodes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine.episodes import EpisodeFolder, read_episode
from diamond_engine.errors import DiamondError
from diamond_engine.frames import from_numpy
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming
from training.evaluation.fidelity.episodes import (
    HORIZON,
    TRANSITIONS_AT_ONCE,
    Start,
    draw_starts,
    judge,
    measure_dreams,
    measure_judgement,
)
from training.evaluation.held_out import collect_held_out, usable_epsilons


def test_starts_have_a_full_context_and_a_real_successor(episode_folder: Path) -> None:
    folder = EpisodeFolder(episode_folder)
    starts = draw_starts(folder, context=4, per_episode=3, seed=1)
    assert len(starts) == len(set(starts)) == 3 * len(folder)
    for start in starts:
        length = folder.lengths[start.episode]
        assert 3 <= start.newest < length
        assert start.steps == min(HORIZON, length - start.newest)


def test_short_episodes_give_as_many_starts_as_fit(episode_folder: Path) -> None:
    folder = EpisodeFolder(episode_folder)
    shortest = int(folder.lengths.min())
    starts = draw_starts(folder, context=shortest - 1, per_episode=5, seed=1)
    assert sum(start.episode == int(folder.lengths.argmin()) for start in starts) == 2
    with pytest.raises(DiamondError, match="longer than a context"):
        draw_starts(folder, context=int(folder.lengths.max()) + 1, per_episode=5, seed=1)


def test_dreams_are_compared_with_the_frames_that_really_followed(
    world: World, how: Dreaming, episode_folder: Path
) -> None:
    folder = EpisodeFolder(episode_folder)
    longest = int(folder.lengths.argmax())
    episode, newest = folder[longest], int(folder.lengths[longest]) - 5
    near_the_end = Start(longest, newest, steps=5)
    fidelity = measure_dreams(world, folder, [near_the_end, Start(0, 3, steps=1)], how)
    assert [(result.step, result.n) for result in fidelity.steps] == [(1, 2), (5, 1), (15, 0), (50, 0)]
    assert fidelity.steps[0].psnr is not None
    assert fidelity.steps[2].psnr is None
    assert np.array_equal(fidelity.real, np.concatenate((episode.frames[newest + 1 :], episode.final_frame[None])))
    assert fidelity.dreamed.shape == fidelity.real.shape


def test_judging_in_pieces_is_judging_the_whole_sequence(world: World, episode_folder: Path) -> None:
    episode = max(map(read_episode, episode_folder.glob("*.h5")), key=len)
    assert len(episode) > TRANSITIONS_AT_ONCE
    model, runtime = world.reward_end, Runtime(torch.device("cpu"), torch.float32)
    assert model is not None
    with torch.no_grad():
        model.get_parameter("head.2.weight").mul_(100)
        obs = from_numpy(np.concatenate((episode.frames, episode.final_frame[None])), runtime.device)[None]
        reward_logits, end_logits, _ = model(obs[:, :-1], torch.from_numpy(episode.actions)[None], obs[:, 1:])
    signs, ends = judge(model, episode, runtime)
    assert np.array_equal(signs, reward_logits[0].argmax(-1).numpy() - 1)
    assert np.array_equal(ends, end_logits[0].argmax(-1).numpy())


def test_judgement_counts_all_events_after_the_warm_up(world: World, episode_folder: Path) -> None:
    folder = EpisodeFolder(episode_folder)
    assert world.reward_end is not None
    judgement = measure_judgement(world.reward_end, folder, 3, Runtime.choose("cpu", "float32"))
    episodes = [folder[i] for i in range(len(folder))]
    assert judgement.ends.events == len(folder)
    assert judgement.rewards.events == sum(int((episode.rewards[3:] != 0).sum()) for episode in episodes)


def test_held_out_episodes_come_from_every_policy_and_from_the_seed(world: World, tmp_path: Path) -> None:
    def collect(name: str, seed: int) -> EpisodeFolder:
        return collect_held_out(world, tmp_path / name, 3, (1.0, 0.1), seed, "cpu", "float32")

    first, again, other = collect("first", 1), collect("again", 1), collect("other", 2)
    assert [first[i].attributes["policy"] for i in range(3)] == ["epsilon 1.0", "epsilon 1.0", "epsilon 0.1"]
    assert all(np.array_equal(first[i].frames, again[i].frames) for i in range(3))
    assert not all(np.array_equal(first[i].actions, other[i].actions) for i in range(3))
    assert all(first[i].terminated[-1] for i in range(3))


def test_a_world_without_agent_is_played_at_random(world: World) -> None:
    without = replace(world, actor_critic=None)
    assert usable_epsilons(without, (1.0, 0.1)) == (1.0,)
    with pytest.raises(DiamondError, match="no agent"):
        usable_epsilons(without, (0.1,))
