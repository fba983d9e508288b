"""The world model as an environment."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diamond_engine import World, WorldModelEnv
from diamond_engine.contexts import StartContexts
from diamond_engine.diffusion import sample
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.frames import from_numpy, to_uint8
from diamond_engine.imagination import UniformContexts
from diamond_engine.networks import RewardEndModel
from diamond_engine.worlds import DiffusionPreset
from tests.conftest import tiny_world

CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def world() -> World:
    """The tiny world with every layer doing something: several start at zero, which would hide what they see."""
    world = tiny_world()
    assert world.reward_end is not None
    torch.manual_seed(1)
    for parameter in (*world.denoiser.parameters(), *world.reward_end.parameters()):
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return world


@pytest.fixture(scope="module")
def endless(world: World) -> World:
    return replace(world, reward_end=None)


def contexts_of(world: World) -> StartContexts:
    assert world.contexts is not None
    return world.contexts


def given(world: World, count: int) -> dict[str, np.ndarray]:
    contexts = contexts_of(world)
    return {"frames": contexts.frames[:count], "actions": contexts.actions[:count]}


def dream(env: WorldModelEnv, steps: int = 4, seed: int | None = None) -> Tensor:
    """All observations ``(T+1, B, C, H, W)`` under fixed actions."""
    obs = [env.reset(seed)[0]]
    for t in range(steps):
        obs.append(env.step(torch.arange(env.num_envs).add(t) % env.num_actions)[0])
    return torch.stack(obs)


class TestStep:
    def test_shapes_and_ranges(self, world: World) -> None:
        env = WorldModelEnv(world, 3, **CPU)
        obs, info = env.reset()
        assert obs.shape == (3, 3, 64, 64)
        assert info["context"].shape == (3, 3, 3, 64, 64)
        obs, rewards, ends, truncs, _ = env.step(torch.tensor([0, 1, 2]))
        assert obs.shape == (3, 3, 64, 64)
        assert obs.dtype == torch.float32
        assert obs.abs().max() <= 1
        assert rewards.shape == ends.shape == truncs.shape == (3,)
        assert (rewards.dtype, ends.dtype, truncs.dtype) == (torch.float32, torch.bool, torch.bool)
        assert set(rewards.tolist()) <= {-1.0, 0.0, 1.0}

    def test_frames_lie_on_the_8_bit_grid(self, endless: World) -> None:
        frames = dream(WorldModelEnv(endless, 3, **CPU))
        levels = frames.add(1).mul(127.5)
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)

    def test_same_seed_same_dream(self, world: World) -> None:
        one, same, other = (WorldModelEnv(world, 3, seed=seed, **CPU) for seed in (5, 5, 6))
        first = dream(one)
        assert torch.equal(first, dream(same))
        assert not torch.equal(first, dream(other))
        assert not torch.equal(first, dream(one))
        assert torch.equal(first, dream(one, seed=5))

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_every_precision(self, world: World, dtype: str) -> None:
        env = WorldModelEnv(world, 3, device="cpu", dtype=dtype)
        frames = dream(env)
        assert frames.dtype == torch.float32
        assert env.runtime.dtype_name == dtype

    def test_bfloat16_dreams_nearly_the_same(self, endless: World) -> None:
        exact, fast = (WorldModelEnv(endless, 4, device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
        assert (dream(exact, 1) - dream(fast, 1)).abs().mean() < 0.02

    def test_leaves_the_world_as_it_is(self, world: World) -> None:
        before = {name: value.clone() for name, value in world.denoiser.state_dict().items()}
        dream(WorldModelEnv(world, 2, device="cpu", dtype="bfloat16"))
        assert all(parameter.requires_grad for parameter in world.denoiser.parameters())
        for name, value in world.denoiser.state_dict().items():
            assert value.dtype == before[name].dtype
            assert torch.equal(value, before[name])

    def test_actions_matter(self, endless: World) -> None:
        def second(action: int) -> Tensor:
            env = WorldModelEnv(endless, 2, **CPU)
            env.reset(options=given(endless, 2))
            return env.step(torch.full((2,), action))[0]

        assert not torch.equal(second(0), second(3))

    def test_presets(self, endless: World) -> None:
        dreams = [
            dream(WorldModelEnv(endless, 2, preset=preset, **CPU), 1)
            for preset in (None, "quality", "fast", DiffusionPreset().with_steps(1))
        ]
        assert torch.equal(dreams[0], dreams[1])
        assert torch.equal(dreams[2], dreams[3])
        assert not torch.equal(dreams[0], dreams[2])
        with pytest.raises(UsageError, match="unknown preset 'nonesuch'"):
            WorldModelEnv(endless, 2, preset="nonesuch", **CPU)

    def test_needs_a_reset_first(self, world: World) -> None:
        with pytest.raises(UsageError, match="reset"):
            WorldModelEnv(world, 2, **CPU).step(torch.zeros(2, dtype=torch.int64))


class TestGivenStart:
    def test_is_the_sampler_on_the_given_context(self, endless: World) -> None:
        """Two steps by hand, with the same noise."""
        start = given(endless, 3)
        env = WorldModelEnv(endless, 3, **CPU)
        env.reset(seed=9, options=start)
        generator = torch.Generator().manual_seed(9)
        frames = from_numpy(start["frames"], torch.device("cpu"))
        acts = torch.as_tensor(start["actions"])
        for action in (torch.tensor([0, 1, 2]), torch.tensor([3, 3, 0])):
            acts = torch.cat((acts, action[:, None]), dim=1)
            with torch.no_grad():
                expected = sample(
                    endless.denoiser.given_actions(acts[:, -4:]),
                    lambda shape: torch.randn(shape, generator=generator),
                    (3, 3, 64, 64),
                    frames[:, -4:].flatten(1, 2),
                    env.preset.dynamics,
                )
            frames = torch.cat((frames, expected[:, None]), dim=1)
            obs = env.step(action)[0]
            assert (to_uint8(obs) == to_uint8(expected)).float().mean() > 0.999

    def test_starts_with_the_given_frames(self, world: World) -> None:
        start = given(world, 3)
        obs, info = WorldModelEnv(world, 3, **CPU).reset(options=start)
        np.testing.assert_array_equal(to_uint8(obs), start["frames"][:, -1])
        np.testing.assert_array_equal(to_uint8(info["context"]), start["frames"][:, :-1])

    def test_empty_options_are_none(self, world: World) -> None:
        one, other = WorldModelEnv(world, 2, **CPU), WorldModelEnv(world, 2, **CPU)
        assert torch.equal(one.reset(seed=1, options={})[0], other.reset(seed=1)[0])

    def test_without_start_contexts(self, world: World) -> None:
        """A world without any starts, and starts anew, from what it was given."""
        bare = replace(world, contexts=None)
        env = WorldModelEnv(bare, 2, horizon=1, **CPU)
        with pytest.raises(DiamondError, match="no start contexts"):
            env.reset()
        start = given(world, 2)
        env.reset(options=start)
        obs = to_uint8(env.step(torch.tensor([0, 1]))[0]).numpy()
        for frame in obs:
            assert (start["frames"][:, -1] == frame).all(axis=(1, 2, 3)).any()


class TestRewardEnd:
    def test_lstm_is_warmed_on_the_context(self, world: World) -> None:
        """The state after some steps equals one pass of the model over context and dream."""
        assert world.reward_end is not None
        calm = replace(world, reward_end=without_ends(world))
        start = given(calm, 3)
        env = WorldModelEnv(calm, 3, **CPU)
        env.reset(seed=0, options=start)
        frames = [*from_numpy(start["frames"], torch.device("cpu")).unbind(1)]
        acts = [*torch.as_tensor(start["actions"]).unbind(1)]
        for t in range(3):
            acts.append(torch.tensor([t, 0, 3]))
            frames.append(env.step(acts[-1])[0])
        obs, act = torch.stack(frames, dim=1), torch.stack(acts, dim=1)
        assert calm.reward_end is not None
        with torch.no_grad():
            _, _, (hidden, cell) = calm.reward_end(obs[:, :-1], act, obs[:, 1:])
        assert env._memory is not None
        assert env._memory.state is not None
        torch.testing.assert_close(env._memory.state[0], hidden, atol=1e-4, rtol=0)
        torch.testing.assert_close(env._memory.state[1], cell, atol=1e-4, rtol=0)

    def test_a_new_dream_has_a_fresh_state(self, world: World) -> None:
        """After a restart the state is the one of the new context alone; the others keep theirs."""
        calm = replace(world, reward_end=without_ends(world))
        env = WorldModelEnv(calm, 3, horizon=2, **CPU)
        env.reset(seed=0)
        env.step(torch.zeros(3, dtype=torch.int64))
        _, _, _, truncs, info = env.step(torch.zeros(3, dtype=torch.int64))
        assert truncs.all()
        memory = env._memory
        assert memory is not None
        assert memory.state is not None
        frames = torch.cat((info["context"], memory.frames[:, -1:]), dim=1)
        assert calm.reward_end is not None
        with torch.no_grad():
            _, _, (hidden, _) = calm.reward_end(frames[:, :-1], memory.actions[:, :-1], frames[:, 1:])
        torch.testing.assert_close(memory.state[0], hidden, atol=1e-4, rtol=0)

    def test_rewards_and_ends_follow_the_logits(self, world: World) -> None:
        for bias, reward, end in ((2, 1.0, False), (0, -1.0, False), (1, 0.0, True)):
            decided = replace(world, reward_end=deciding(world, bias, end))
            env = WorldModelEnv(decided, 4, **CPU)
            env.reset(seed=0)
            _, rewards, ends, _, _ = env.step(torch.zeros(4, dtype=torch.int64))
            assert rewards.tolist() == [reward] * 4
            assert ends.tolist() == [end] * 4

    def test_without_a_model_nothing_is_rewarded_and_nothing_ends(self, endless: World) -> None:
        env = WorldModelEnv(endless, 4, **CPU)
        env.reset(seed=0)
        for _ in range(5):
            _, rewards, ends, truncs, info = env.step(torch.ones(4, dtype=torch.int64))
            assert not rewards.any()
            assert not ends.any()
            assert not truncs.any()
            assert info == {}


class TestEnds:
    def test_starts_anew_in_the_same_step(self, world: World) -> None:
        starts = contexts_of(world).frames
        env = WorldModelEnv(world, 4, **CPU)
        env.reset(seed=0)
        seen = 0
        for _ in range(5):
            assert env._memory is not None
            before = env._memory.frames[:, 1:].clone()
            obs, _, ends, truncs, info = env.step(torch.ones(4, dtype=torch.int64))
            assert not truncs.any()
            assert ("final_obs" in info) == bool(ends.any())
            for i in range(4):
                if not ends[i]:
                    assert torch.equal(env._memory.frames[i, :-1], before[i])
                    assert torch.equal(info.get("final_obs", obs)[i], obs[i])
                    continue
                seen += 1
                start = torch.cat((info["context"][i], obs[i, None]))
                assert (starts == to_uint8(start).numpy()).all(axis=(1, 2, 3, 4)).any()
                assert not torch.equal(info["final_obs"][i], obs[i])
        assert 0 < seen < 20

    def test_horizon_truncates(self, endless: World) -> None:
        env = WorldModelEnv(endless, 2, horizon=3, **CPU)
        env.reset(seed=0)
        over = [env.step(torch.zeros(2, dtype=torch.int64))[3].tolist() for _ in range(7)]
        assert over == [[t in (2, 5)] * 2 for t in range(7)]

    def test_horizon_counts_from_the_last_start(self, world: World) -> None:
        env = WorldModelEnv(world, 4, horizon=3, **CPU)
        env.reset(seed=0)
        ages = torch.zeros(4)
        for _ in range(12):
            _, _, ends, truncs, _ = env.step(torch.ones(4, dtype=torch.int64))
            ages += 1
            assert torch.equal(truncs, (ages == 3) & ~ends)
            ages[ends | truncs] = 0

    def test_without_autoreset_the_dream_goes_on(self, endless: World) -> None:
        env = WorldModelEnv(endless, 2, horizon=1, autoreset=False, **CPU)
        plain = WorldModelEnv(endless, 2, **CPU)
        env.reset(seed=0)
        plain.reset(seed=0)
        for _ in range(3):
            obs, _, _, truncs, info = env.step(torch.ones(2, dtype=torch.int64))
            assert torch.equal(obs, plain.step(torch.ones(2, dtype=torch.int64))[0])
            assert truncs.all()
            assert info == {}

    def test_contexts_replace_those_of_the_world(self, world: World) -> None:
        frames = np.full((1, 4, 64, 64, 3), 7, dtype=np.uint8)
        source = UniformContexts(StartContexts(frames, np.zeros((1, 3), dtype=np.int64)), seed=0)
        env = WorldModelEnv(world, 2, contexts=source, horizon=1, **CPU)
        assert (to_uint8(env.reset(seed=3)[0]) == 7).all()
        assert (to_uint8(env.step(torch.zeros(2, dtype=torch.int64))[0]) == 7).all()


def deciding(world: World, reward_class: int, end: bool) -> RewardEndModel:
    """The reward/end model made certain of one reward and one end."""
    model = deepcopy(world.reward_end)
    assert model is not None
    head = model.head[2]
    assert isinstance(head, torch.nn.Linear)
    bias = torch.zeros(5)
    bias[reward_class] = bias[3 + end] = 1e4
    head.bias = torch.nn.Parameter(bias)
    torch.nn.init.zeros_(head.weight)
    return model


def without_ends(world: World) -> RewardEndModel:
    return deciding(world, 1, end=False)
