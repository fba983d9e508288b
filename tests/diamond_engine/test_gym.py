"""The Gymnasium environments: registered, conforming, the same dreams as ``WorldModelEnv``."""

import copy
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.env_checker import check_env as stable_baselines_check

from diamond_engine import WorldModelEnv, load_world
from diamond_engine.errors import UsageError
from diamond_engine.frames import to_numpy
from diamond_engine.games import ATARI_GAMES
from diamond_engine.gym import DreamVectorEnv
from tests.conftest import tiny_token_world

ID = "diamond_engine:diamond/Breakout-v0"
CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}


def make_vec(world_folder: Path, num_envs: int = 3, **kwargs: Any) -> VectorEnv:
    return gymnasium.make_vec(ID, num_envs=num_envs, weights=str(world_folder), **CPU, **kwargs)


def make(world_folder: Path, **kwargs: Any) -> gymnasium.Env:
    return gymnasium.make(ID, weights=str(world_folder), **CPU, **kwargs)


def test_every_game_is_registered_without_loading_torch() -> None:
    code = "import sys, gymnasium, diamond_engine; print(*gymnasium.registry); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out[-1] == "False"
    names = (*ATARI_GAMES, "CSGO", "Doom", "World")
    assert {name for name in out if name.startswith("diamond/")} == {f"diamond/{name}-v0" for name in names}


def test_passes_the_env_checker(world_folder: Path) -> None:
    env = make(world_folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()
    env.close()


def test_single_env_renders_its_frame(world_folder: Path) -> None:
    env = make(world_folder, render_mode="rgb_array")
    obs, info = env.reset(seed=0)
    assert obs.shape == (64, 64, 3)
    assert info == {}
    obs, reward, terminated, truncated, _ = env.step(2)
    np.testing.assert_array_equal(env.render(), obs)
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert env.metadata["render_fps"] == 15


def test_single_env_ends_without_starting_anew(world_folder: Path) -> None:
    env = make(world_folder, horizon=2).unwrapped
    contexts = load_world("atari/Breakout", weights=world_folder).contexts
    assert contexts is not None
    env.reset(seed=0)
    while True:
        obs, _, terminated, truncated, _ = env.step(1)
        if terminated or truncated:
            break
    assert not (contexts.frames[:, -1] == obs).all(axis=(1, 2, 3)).any()


def test_vector_env_conforms(world_folder: Path) -> None:
    envs = make_vec(world_folder)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, _ = envs.reset(seed=0)
    assert obs in envs.observation_space
    assert envs.single_observation_space.shape == (64, 64, 3)
    envs.action_space.seed(0)
    obs, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert obs in envs.observation_space
    assert obs.dtype == np.uint8
    assert rewards.shape == terminated.shape == truncated.shape == (3,)
    assert (rewards.dtype.kind, terminated.dtype, truncated.dtype) == ("f", np.bool_, np.bool_)
    assert np.isin(rewards, (-1, 0, 1)).all()
    assert envs.render() is None
    envs.close()


def test_gives_the_dreams_of_world_model_env(world_folder: Path) -> None:
    envs = make_vec(world_folder)
    dreams = WorldModelEnv(load_world("atari/Breakout", weights=world_folder), 3, **CPU, horizon=1000)
    frames, _ = envs.reset(seed=5)
    obs, _ = dreams.reset(seed=5)
    np.testing.assert_array_equal(frames, to_numpy(obs))
    for action in (1, 2, 3, 0):
        frames, rewards, terminated, *_ = envs.step(np.full(3, action))
        obs, reward, ends, *_ = dreams.step(torch.full((3,), action))
        np.testing.assert_array_equal(frames, to_numpy(obs))
        np.testing.assert_array_equal(rewards, reward.numpy())
        np.testing.assert_array_equal(terminated, ends.numpy())


def test_unseeded_envs_differ(world_folder: Path) -> None:
    def play() -> np.ndarray:
        envs = make_vec(world_folder, num_envs=8)
        first, _ = envs.reset()
        return np.stack([first, envs.step(np.zeros(8, dtype=np.int64))[0]])

    assert (play() != play()).any()


def test_starts_from_given_frames(world_folder: Path) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(3, 4, 64, 64, 3), dtype=np.uint8)
    actions = rng.integers(4, size=(3, 3))
    envs = make_vec(world_folder)
    obs, _ = envs.reset(seed=0, options={"frames": frames, "actions": actions})
    np.testing.assert_array_equal(obs, frames[:, -1])
    one, _ = make(world_folder).reset(seed=0, options={"frames": frames[1], "actions": actions[1]})
    np.testing.assert_array_equal(one, frames[1, -1])


def test_autoreset_in_the_same_step(world_folder: Path) -> None:
    envs = make_vec(world_folder, num_envs=4, horizon=3)
    contexts = load_world("atari/Breakout", weights=world_folder).contexts
    assert contexts is not None
    starts = contexts.frames[:, -1]
    envs.reset(seed=0)
    restarts = 0
    for _ in range(6):
        obs, _, terminated, truncated, info = envs.step(np.ones(4, dtype=np.int64))
        over = terminated | truncated
        assert not (terminated & truncated).any()
        np.testing.assert_array_equal(info.get("_final_obs", np.zeros(4, dtype=bool)), over)
        for i in np.flatnonzero(over):
            assert (starts == obs[i]).all(axis=(1, 2, 3)).any()
            assert (info["final_obs"][i] != obs[i]).any()
            assert info["_final_info"][i]
        restarts += int(over.sum())
    assert restarts >= 4


@pytest.mark.parametrize(
    "options",
    [
        {"frames": np.zeros((3, 4, 64, 64, 3), dtype=np.uint8)},
        {"frames": np.zeros((3, 4, 64, 64, 3), dtype=np.float32), "actions": np.zeros((3, 3), dtype=np.int64)},
        {"frames": np.zeros((3, 2, 64, 64, 3), dtype=np.uint8), "actions": np.zeros((3, 1), dtype=np.int64)},
        {"frames": np.zeros((3, 4, 64, 64, 3), dtype=np.uint8), "actions": np.full((3, 3), 4)},
        {"nonesuch": np.ones(3, dtype=bool)},
    ],
)
def test_refuses_options_that_do_not_fit(world_folder: Path, options: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="options"):
        make_vec(world_folder).reset(options=options)


def test_refuses_actions_and_seeds_that_do_not_exist(world_folder: Path) -> None:
    envs = make_vec(world_folder)
    envs.reset(seed=0)
    for actions in (np.array([0, 1, 4]), np.array([0, 1]), np.array([0, -1, 1])):
        with pytest.raises(UsageError, match="3 actions from 0 to 3"):
            envs.step(actions)
    for seeds in ([1, 2], [1, 2, -3]):
        with pytest.raises(UsageError, match="list of 3"):
            envs.reset(seed=seeds)
    with pytest.raises(UsageError, match="preset"):
        make(world_folder, preset="nonesuch")


def test_any_world_has_an_id(world_folder: Path, first_person_folder: Path) -> None:
    env = gymnasium.make("diamond_engine:diamond/World-v0", world=world_folder, **CPU)
    assert env.reset(seed=0)[0].shape == (64, 64, 3)
    first = gymnasium.make("diamond_engine:diamond/CSGO-v0", weights=first_person_folder, **CPU)
    assert first.action_space.shape == (51,)
    assert first.reset(seed=0)[0].shape == (150, 280, 3)


def frames_of(envs: VectorEnv, steps: int) -> np.ndarray:
    return np.stack([envs.step(np.full(envs.num_envs, step % 4))[0] for step in range(steps)])


def test_a_part_of_the_dreams_starts_anew(world_folder: Path) -> None:
    envs = make_vec(world_folder, horizon=None)
    envs.reset(seed=0)
    before = frames_of(envs, 3)[-1]
    after, _ = envs.reset(options={"reset_mask": np.array([False, True, False]), "context": 2})
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    contexts = load_world(world_folder).contexts
    assert contexts is not None
    np.testing.assert_array_equal(after[1], contexts.frames[2, -1])
    for wrong in ([True], np.zeros(3, dtype=bool), [1, 0, 1]):
        with pytest.raises(UsageError, match="reset_mask"):
            envs.reset(options={"reset_mask": wrong})
    with pytest.raises(UsageError, match="first reset"):
        make_vec(world_folder).reset(options={"reset_mask": np.array([False, True, False])})


def test_a_dream_of_its_own_seed_depends_on_no_other(world_folder: Path) -> None:
    envs, seeds = make_vec(world_folder, horizon=3), [5, 8, 5]
    shown = [envs.reset(seed=seeds)[0], *frames_of(envs, 5)]
    np.testing.assert_array_equal([frames[0] for frames in shown], [frames[2] for frames in shown])
    others = make_vec(world_folder, num_envs=2, horizon=None)
    other = [others.reset(seed=np.array([9, 5]))[0], *frames_of(others, 2)]
    alone = make_vec(world_folder, num_envs=1, horizon=None)
    single = [alone.reset(seed=5)[0], *frames_of(alone, 2)]
    for theirs, its, mine in zip(shown, other, single, strict=False):
        np.testing.assert_allclose(theirs[0].astype(int), its[1].astype(int), atol=1)
        np.testing.assert_allclose(theirs[0].astype(int), mine[0].astype(int), atol=1)
    assert any((frames[0] != frames[1]).any() for frames in shown)


def test_dreams_of_their_own_seeds_go_on_are_saved_and_seeded_in_part(world_folder: Path) -> None:
    envs = make_vec(world_folder, horizon=None)
    envs.reset(seed=[1, 2, 3])
    frames_of(envs, 2)
    state = envs.unwrapped.save_state()
    first = frames_of(envs, 3)
    other = make_vec(world_folder, horizon=None)
    other.unwrapped.restore_state(state)
    np.testing.assert_array_equal(frames_of(other, 3), first)
    envs.unwrapped.restore_state(state)
    part = np.array([False, True, False])
    begun, _ = envs.reset(seed=[7, 2, None], options={"reset_mask": part})
    after = frames_of(envs, 3)
    np.testing.assert_array_equal(after[:, ~part], first[:, ~part], "the others go on")
    np.testing.assert_array_equal(begun[1], make_vec(world_folder, num_envs=1).reset(seed=2)[0][0])
    copied = copy.deepcopy(envs.unwrapped)
    np.testing.assert_array_equal(frames_of(copied, 2), frames_of(envs, 2))
    one, again = (envs.reset(seed=4)[0] for _ in range(2))
    np.testing.assert_array_equal(one, again, "one seed for all again")
    np.testing.assert_array_equal(one, make_vec(world_folder).reset(seed=4)[0])


def test_dreams_of_iris_have_their_own_seeds_too(world_folder: Path) -> None:
    envs = DreamVectorEnv(tiny_token_world(), 3, **CPU)
    shown = [envs.reset(seed=[5, 8, 5])[0], *frames_of(envs, 3)]
    np.testing.assert_array_equal([frames[0] for frames in shown], [frames[2] for frames in shown])
    assert (shown[-1][0] != shown[-1][1]).any()


def test_dreams_go_on_from_a_saved_state(world_folder: Path) -> None:
    envs = make_vec(world_folder, horizon=4)
    with pytest.raises(UsageError, match="reset"):
        envs.unwrapped.save_state()
    envs.reset(seed=0)
    frames_of(envs, 2)
    state = envs.unwrapped.save_state()
    first = frames_of(envs, 6)
    for _ in range(2):
        shown = envs.unwrapped.restore_state(state)
        np.testing.assert_array_equal(frames_of(envs, 6), first)
    other = make_vec(world_folder, horizon=4)
    np.testing.assert_array_equal(other.unwrapped.restore_state(state), shown)
    np.testing.assert_array_equal(frames_of(other, 6), first)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_dream_is_copied_in_the_middle(world_folder: Path, copied: Callable[[gymnasium.Env], gymnasium.Env]) -> None:
    env = make(world_folder)
    for steps in (0, 2):
        env.reset(seed=3) if steps else None
        for _ in range(steps):
            env.step(2)
        other = copied(env)
        mine, its = (
            [env.reset(seed=4)[0] if not steps else env.step(1)[0] for env in pair] for pair in ((env,), (other,))
        )
        np.testing.assert_array_equal(mine, its)
    mine = [env.step(3)[0] for _ in range(2)]
    np.testing.assert_array_equal(mine, [other.step(3)[0] for _ in range(2)])


def test_gymnasiums_wrappers_wrap_dreams(world_folder: Path, tmp_path: Path) -> None:
    env = make(world_folder, render_mode="rgb_array")
    env = gymnasium.wrappers.TimeLimit(gymnasium.wrappers.FlattenObservation(env), max_episode_steps=2)
    assert env.reset(seed=0)[0].shape == (64 * 64 * 3,)
    assert [env.step(1)[3] for _ in range(2)][-1]
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(make_vec(world_folder, horizon=2))
    envs.reset(seed=0)
    lengths = np.zeros(3, dtype=np.int64)
    for _ in range(4):
        lengths += 1
        _, _, ends, truncs, info = envs.step(np.zeros(3, dtype=np.int64))
        over = ends | truncs
        if over.any():
            assert info["episode"]["l"][over].tolist() == lengths[over].tolist()
        lengths[over] = 0
    assert lengths.max() < 2  # at the horizon at the latest


class WrittenVideo(gymnasium.wrappers.RecordVideo):
    """Gymnasium writes through moviepy, which is not ours; the frames it gathers are what the dream shows."""

    def stop_recording(self) -> None:
        self.written = [*self.recorded_frames]
        self.recording, self.recorded_frames = False, []


def test_a_dream_is_recorded_as_video(world_folder: Path, tmp_path: Path) -> None:
    env = make(world_folder, render_mode="rgb_array", horizon=2)
    with patch.dict(sys.modules, {"moviepy": ModuleType("moviepy")}):
        recorded = WrittenVideo(env, str(tmp_path / "videos"), episode_trigger=lambda episode: True)
    shown = [recorded.reset(seed=0)[0], *(recorded.step(1)[0] for _ in range(2))]
    recorded.close()
    np.testing.assert_array_equal(recorded.written, shown)


def test_dreams_run_in_processes_of_their_own(world_folder: Path) -> None:
    envs = gymnasium.make_vec(
        "diamond_engine:diamond/World-v0",
        2,
        "async",
        world=str(world_folder),
        **CPU,
        vector_kwargs={"context": "spawn"},
    )
    try:
        first, _ = envs.reset(seed=[3, 4])
        second = envs.step(np.array([1, 2]))[0]
    finally:
        envs.close()
    alone = make(world_folder)
    np.testing.assert_array_equal(alone.reset(seed=4)[0], first[1])
    np.testing.assert_allclose(alone.step(2)[0].astype(int), second[1].astype(int), atol=1)


def test_passes_the_checker_of_stable_baselines(world_folder: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        stable_baselines_check(make(world_folder).unwrapped)
    assert [str(warning.message) for warning in told if issubclass(warning.category, UserWarning)] == []


@pytest.mark.parametrize("wrong", [{"num_envs": 0}, {"render_mode": "human"}])
def test_what_cannot_be_is_refused(world_folder: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be"):
        DreamVectorEnv(world_folder, **{"num_envs": 1, **CPU, **wrong})


def test_the_planner_of_the_docs_plans(world_folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "planning.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for much, little in (
        ('world="agent"', f"world={str(world_folder)!r}, **cpu"),
        ("range(20)", "range(2)"),
        ("futures=16, depth=10", "futures=2, depth=2"),
    ):
        assert code.count(much) == 1
        code = code.replace(much, little)
    named: dict[str, Any] = {"cpu": CPU}
    exec(code, named)
    assert named["obs"].shape == (64, 64, 3)
    before = named["env"].save_state()
    named["plan"](named["env"], named["rng"])
    after = named["env"].save_state()
    assert all(torch.equal(a, b) for a, b in zip(before.memory.tensors, after.memory.tensors, strict=True))
    assert torch.equal(before.noise, after.noise), "planning leaves the dream where it was"
