"""Worlds of two stages in the first person: dynamics at low resolution, then an upsampler."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diamond_engine import World, WorldModelEnv, load_world
from diamond_engine.contexts import StartContexts
from diamond_engine.diffusion import Denoiser, sample
from diamond_engine.diffusion.denoiser import enlarge
from diamond_engine.emulators import open_emulator
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.frames import from_numpy, to_uint8
from diamond_engine.gym import DreamEnv, DreamVectorEnv
from diamond_engine.imagination import UniformContexts
from diamond_engine.networks import RewardEndModelConfig
from diamond_engine.world_model import WorldConfig
from diamond_engine.worlds import DiffusionPreset, DiffusionWorld, write_world
from tests.conftest import first_person_contexts, tiny_first_person_config

CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
HERE = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tiny_first_person_world: World) -> World:
    return tiny_first_person_world


def contexts_of(world: World) -> StartContexts:
    assert world.contexts is not None
    return world.contexts


def recorded(world: World, step: int) -> Tensor:
    contexts = contexts_of(world)
    assert contexts.recorded is not None
    return torch.as_tensor(contexts.recorded[:, step])


class TestStep:
    def test_shapes_and_ranges(self, world: World) -> None:
        env = WorldModelEnv(world, 2, **CPU)
        obs, info = env.reset()
        assert obs.shape == (2, 3, 150, 280)
        assert {name: tuple(value.shape) for name, value in info.items()} == {
            "context": (2, 3, 3, 30, 56),
            "low_res": (2, 3, 30, 56),
        }
        obs, rewards, ends, truncs, info = env.step(recorded(world, 0))
        assert obs.shape == (2, 3, 150, 280)
        assert obs.dtype == torch.float32
        assert obs.abs().max() <= 1 + 1e-5
        assert {name: tuple(value.shape) for name, value in info.items()} == {"low_res": (2, 3, 30, 56)}
        assert not rewards.any() | ends.any() | truncs.any()
        assert env.num_actions == 51

    def test_is_both_samplers_in_turn(self, world: World) -> None:
        """Two steps by hand, with the same noise."""
        assert world.upsampler is not None
        contexts = contexts_of(world)
        assert contexts.full_res is not None
        env = WorldModelEnv(world, 2, preset="quality", **CPU)
        env.reset(seed=9, options={"context": [0, 1]})
        assert env.preset.upsampler is not None
        generator = torch.Generator().manual_seed(9)
        small, large = from_numpy(contexts.frames, HERE), from_numpy(contexts.full_res[:, -1], HERE)
        acts = torch.as_tensor(contexts.actions)
        noise = lambda shape: torch.randn(shape, generator=generator)  # noqa: E731
        for t in range(2):
            acts = torch.cat((acts, recorded(world, t)[:, None]), dim=1)
            with torch.no_grad():
                dynamics = world.denoiser.given_actions(acts[:, -4:])
                frame = sample(dynamics, noise, (2, 3, 30, 56), small[:, -4:].flatten(1, 2), env.preset.dynamics)
                context = torch.cat((large, enlarge(frame, 5)), dim=1)
                upsampler = world.upsampler.given_actions(None)
                large = sample(upsampler, noise, (2, 3, 150, 280), context, env.preset.upsampler)
            small = torch.cat((small, frame[:, None]), dim=1)
            obs, *_, info = env.step(recorded(world, t))
            assert (to_uint8(info["low_res"]) == to_uint8(frame)).float().mean() > 0.999
            assert (to_uint8(obs) == to_uint8(large)).float().mean() > 0.99

    def test_every_entry_of_the_action_matters(self, world: World) -> None:
        def second(action: Tensor) -> Tensor:
            env = WorldModelEnv(world, 2, **CPU)
            env.reset(seed=0, options={"context": 0})
            return env.step(action)[-1]["low_res"]

        idle = second(torch.zeros(2, 51))
        assert torch.equal(idle[0], second(torch.zeros(2, 51, dtype=torch.uint8))[0])
        moved = [second(torch.eye(51)[[entry, 50 - entry]]) for entry in (0, 12, 24)]
        assert all(not torch.equal(frame, idle) for frame in moved)

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_same_seed_same_dream(self, world: World, dtype: str) -> None:
        def dream(seed: int) -> Tensor:
            env = WorldModelEnv(world, 2, device="cpu", dtype=dtype, seed=seed)
            env.reset(options={"context": 1})
            return torch.stack([env.step(recorded(world, t))[0] for t in range(2)])

        assert torch.equal(dream(3), dream(3))
        assert not torch.equal(dream(3), dream(4))

    def test_tells_which_stage_has_drawn(self, world: World) -> None:
        drawn: list[tuple[str, tuple[int, ...]]] = []
        env = WorldModelEnv(world, 2, on_stage=lambda stage, frame: drawn.append((stage, tuple(frame.shape))), **CPU)
        env.reset()
        env.step(recorded(world, 0))
        assert drawn == [("dynamics", (2, 3, 30, 56)), ("upsampler", (2, 3, 150, 280))]

    @pytest.mark.parametrize("shape", [(51,), (2, 50), (2,), (1, 51)])
    def test_refuses_actions_of_another_shape(self, world: World, shape: tuple[int, ...]) -> None:
        env = WorldModelEnv(world, 2, **CPU)
        env.reset()
        with pytest.raises(UsageError, match=r"actions must have shape \(2, 51\)"):
            env.step(torch.zeros(shape))


class TestStart:
    def test_by_number(self, world: World) -> None:
        contexts = contexts_of(world)
        assert contexts.full_res is not None
        env = WorldModelEnv(world, 2, **CPU)
        for number, chosen in ((1, [1, 1]), ([1, 0], [1, 0])):
            obs, info = env.reset(options={"context": number})
            np.testing.assert_array_equal(to_uint8(obs), contexts.full_res[chosen, -1])
            np.testing.assert_array_equal(to_uint8(info["low_res"]), contexts.frames[chosen, -1])

    @pytest.mark.parametrize("number", [2, -1, 0.5, [0, 1, 0], "1"])
    def test_numbers_that_do_not_exist(self, world: World, number: object) -> None:
        with pytest.raises(UsageError, match=r"options\['context'\] must be an index or 2; csgo has 2 contexts"):
            WorldModelEnv(world, 2, **CPU).reset(options={"context": number})

    def test_from_given_frames(self, world: World) -> None:
        start = {name: array for name, array in contexts_of(world).arrays().items() if name != "recorded"}
        given, drawn = WorldModelEnv(replace(world, contexts=None), 2, **CPU), WorldModelEnv(world, 2, **CPU)
        with pytest.raises(DiamondError, match="no start contexts"):
            given.reset()
        obs, _ = given.reset(seed=1, options=start)
        assert torch.equal(obs, drawn.reset(seed=1, options={"context": [0, 1]})[0])
        assert torch.equal(given.step(recorded(world, 0))[0], drawn.step(recorded(world, 0))[0])

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda start: start.pop("full_res"), "options of reset"),
            (lambda start: start.update(frames=start["frames"][:, :, :15]), r"frames uint8 \(N, 4, 30, 56, 3\)"),
            (lambda start: start.update(full_res=start["full_res"] / 255), r"full_res uint8 \(N, 1, 150, 280, 3\)"),
            (lambda start: start.update(actions=start["actions"] * 2), "zeros and ones"),
            (lambda start: start.update(actions=start["actions"][..., 0]), r"actions of shape \(2, 3, 51\)"),
            (lambda start: start.update({name: value[:1] for name, value in start.items()}), "it needs 2 contexts"),
        ],
    )
    def test_frames_that_do_not_fit(self, world: World, spoil: Callable[[dict[str, Any]], Any], message: str) -> None:
        start = {name: array for name, array in contexts_of(world).arrays().items() if name != "recorded"}
        spoil(start)
        with pytest.raises(UsageError, match=message):
            WorldModelEnv(world, 2, **CPU).reset(options=start)

    def test_horizon_starts_anew_at_both_resolutions(self, world: World) -> None:
        contexts = contexts_of(world)
        assert contexts.full_res is not None
        env = WorldModelEnv(world, 2, horizon=2, **CPU)
        env.reset()
        env.step(recorded(world, 0))
        obs, _, ends, truncs, info = env.step(recorded(world, 1))
        assert truncs.all()
        assert not ends.any()
        assert not torch.equal(info["final_obs"], obs)
        for i in range(2):
            pair = [
                (contexts.full_res[:, -1] == to_uint8(obs[i]).numpy()).all(axis=(1, 2, 3)),
                (contexts.frames[:, -1] == to_uint8(info["low_res"][i]).numpy()).all(axis=(1, 2, 3)),
            ]
            assert (pair[0] & pair[1]).sum() == 1

    def test_contexts_without_full_resolution_are_refused(self, world: World) -> None:
        source = UniformContexts(replace(contexts_of(world), full_res=None), seed=0)
        with pytest.raises(DiamondError, match="full-resolution"):
            WorldModelEnv(world, 2, contexts=source, **CPU).reset()


class TestPresets:
    def test_steps_of_each_stage(self, world: World) -> None:
        preset = world.config.preset("fast").with_steps(2, 4)
        assert preset.upsampler is not None
        assert (preset.dynamics.num_steps_denoising, preset.upsampler.num_steps_denoising) == (2, 4)
        assert preset.with_steps(upsampler_steps=1).dynamics == preset.dynamics
        assert preset.with_steps(1).upsampler == preset.upsampler
        with pytest.raises(UsageError, match="--upsampler-steps must be at least 1, not 0"):
            preset.with_steps(upsampler_steps=0)
        with pytest.raises(UsageError, match="no upsampler"):
            DiffusionPreset().with_steps(upsampler_steps=3)

    def test_one_stage_is_not_enough(self, world: World) -> None:
        with pytest.raises(UsageError, match="csgo has an upsampler"):
            WorldModelEnv(world, 1, preset=DiffusionPreset(), **CPU)


class TestOnDisk:
    def test_comes_back_as_written(self, world: World, first_person_folder: Path) -> None:
        read = load_world("csgo", weights=first_person_folder)
        assert read.config == world.config
        assert read.upsampler is not None
        assert world.upsampler is not None
        for ours, theirs in ((read.denoiser, world.denoiser), (read.upsampler, world.upsampler)):
            for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
                assert torch.equal(a, b)
        for name, array in contexts_of(read).arrays().items():
            np.testing.assert_array_equal(array, contexts_of(world).arrays()[name])

    def test_is_of_a_game_that_is_only_recorded(self, world: World) -> None:
        game = world.game
        assert (game.title, game.vectors, game.judged) == ("CS:GO", True, False)
        assert (game.frame_height, game.frame_width) == (150, 280)
        with pytest.raises(UsageError, match="cannot be played here"):
            open_emulator(game)
        with pytest.raises(DiamondError, match="csgo has no agent"):
            world.agent()

    def test_is_not_a_world_of_an_atari_game(self, first_person_folder: Path, world_folder: Path) -> None:
        with pytest.raises(DiamondError, match="is a world of CS:GO, not of Pong"):
            load_world("atari/Pong", weights=first_person_folder)
        with pytest.raises(DiamondError, match="is a world of Breakout, not a first-person one"):
            load_world("csgo", weights=world_folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: replace(c, frame_height=152), "the upsampling factor 5 does not divide 152x280"),
            (lambda c: replace(c, presets={"fast": DiffusionPreset()}), "preset fast samples 1 of 2 stages"),
            (lambda c: replace(c, default_preset="one"), "it has no preset one"),
            (lambda c: replace(c, upsampler=None), "preset fast samples 2 of 1 stages"),
            (lambda c: replace(c, denoiser=with_actions(c, 50)), "50 actions, csgo has 51"),
            (lambda c: replace(c, denoiser=with_indices(c)), r"of shape \(\), in csgo of \(51,\)"),
            (
                lambda c: replace(c, reward_end=RewardEndModelConfig(num_actions=51)),
                "csgo has neither rewards nor ends",
            ),
            (lambda c: replace(c, game="Pong"), "51 actions, Pong has 6"),
        ],
    )
    def test_configurations_that_contradict_themselves(
        self, world: World, tmp_path: Path, change: Callable[[WorldConfig], WorldConfig], message: str
    ) -> None:
        write_world(tmp_path, replace(world, config=change(world.config)))
        with pytest.raises(DiamondError, match=message):
            load_world(tmp_path)

    def test_any_geometry_and_name(self, tmp_path: Path) -> None:
        """What shapes a world is in its world.yaml: sizes, factor, context lengths."""
        base = tiny_first_person_config()
        assert base.upsampler is not None
        upsampler = replace(base.upsampler.inner_model, num_steps_conditioning=2)
        config = replace(
            base,
            name="doom",
            denoiser=replace(base.denoiser, inner_model=replace(base.denoiser.inner_model, num_steps_conditioning=2)),
            upsampler=replace(base.upsampler, upsampling_factor=2, inner_model=upsampler),
            frame_height=36,
            frame_width=64,
        )
        assert config.upsampler is not None
        source = first_person_contexts()
        contexts = StartContexts(
            source.frames[:, :2, :18, :32],
            source.actions[:, :1],
            np.zeros((2, 2, 36, 64, 3), dtype=np.uint8),
        )
        write_world(tmp_path, made(config, contexts))
        world = load_world(tmp_path)
        env = WorldModelEnv(world, 3, **CPU)
        env.reset()
        obs, *_, info = env.step(torch.zeros(3, 51))
        assert (obs.shape, info["low_res"].shape) == ((3, 3, 36, 64), (3, 3, 18, 32))


def made(config: WorldConfig, contexts: StartContexts) -> DiffusionWorld:
    denoiser, upsampler = Denoiser(config.denoiser), Denoiser(config.upsampler)
    return DiffusionWorld(config=config, denoiser=denoiser, upsampler=upsampler, contexts=contexts)


def with_indices(config: WorldConfig) -> Any:
    return replace(config.denoiser, inner_model=replace(config.denoiser.inner_model, multi_hot_actions=False))


def with_actions(config: WorldConfig, count: int) -> Any:
    return replace(config.denoiser, inner_model=replace(config.denoiser.inner_model, num_actions=count))


class TestGymnasium:
    def test_one_dream(self, world: World) -> None:
        env = DreamEnv(world, horizon=1, **CPU)
        obs, _ = env.reset(seed=0, options={"context": 1})
        assert obs in env.observation_space
        assert obs.shape == (150, 280, 3)
        action = env.action_space.sample()
        assert action.shape == (51,)
        obs, reward, terminated, truncated, _ = env.step(action)
        assert obs in env.observation_space
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert env.metadata["render_fps"] == 16

    def test_a_batch(self, world: World) -> None:
        envs = DreamVectorEnv(world, 2, **CPU)
        envs.reset(seed=0)
        obs, *_ = envs.step(envs.action_space.sample())
        assert obs in envs.observation_space
        with pytest.raises(UsageError, match="csgo takes 2 vectors of 51 from 0 to 1"):
            envs.step(np.full((2, 51), 2))
