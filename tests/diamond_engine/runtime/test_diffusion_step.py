"""A whole frame in place: what the plain path draws. That nothing in it waits for a GPU is in ``test_gpu.py``."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from diamond_engine import World, WorldModelEnv
from diamond_engine.diffusion import Denoiser, sample
from diamond_engine.diffusion.denoiser import enlarge
from diamond_engine.networks import RewardEndModel
from diamond_engine.runtime import DiffusionMemory, DiffusionStep, Runtime
from tests.conftest import awake_world, make_first_person_world

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module", params=["one stage", "two stages"])
def world(request: pytest.FixtureRequest) -> World:
    return awake_world() if request.param == "one stage" else make_first_person_world()


def memory_of(world: World, batch: int, dtype: torch.dtype = torch.float32) -> DiffusionMemory:
    """Dreams of noise."""
    cfg, generator = world.config, torch.Generator().manual_seed(3)

    def noise(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).mul(2).sub(1)

    length, shape = world.context_length, cfg.action_shape
    actions = torch.zeros(batch, length, *shape, dtype=torch.float32 if shape else torch.int64)
    full_res = state = None
    if cfg.upsampler is not None:
        kept = cfg.upsampler.inner_model.num_steps_conditioning
        full_res = noise(batch, kept, 3, cfg.frame_height, cfg.frame_width)
    if cfg.reward_end is not None:
        state = (noise(1, batch, cfg.reward_end.lstm_dim).to(dtype), noise(1, batch, cfg.reward_end.lstm_dim).to(dtype))
    rewards = torch.zeros(batch)
    frames = noise(batch, length, 3, *cfg.dynamics_size)
    return DiffusionMemory(frames, actions, rewards, rewards.bool(), full_res, state)


def frame_step(world: World, runtime: Runtime, generator: torch.Generator | None) -> DiffusionStep:
    preset = world.config.preset("fast")
    dynamics, upsampler = runtime.for_frames(world.denoiser, preset.dynamics), None
    if world.upsampler is not None and preset.upsampler is not None:
        upsampler = runtime.for_frames(world.upsampler, preset.upsampler)
    reward_end = None if world.reward_end is None else runtime.for_inference(world.reward_end)
    return DiffusionStep(dynamics, upsampler, reward_end, generator, lambda stage, drawn: None)


class PlainDream:
    """The same as the paper's authors wrote it: new tensors every step, networks as they are, ``multinomial``."""

    def __init__(self, world: World, memory: DiffusionMemory) -> None:
        self.world, self.preset = world, world.config.preset("fast")
        self.frames, self.actions = memory.frames.clone(), memory.actions.clone()
        self.full_res = None if memory.full_res is None else memory.full_res.clone()
        self.state = None if memory.state is None else (memory.state[0].clone(), memory.state[1].clone())
        self.generator = torch.Generator().manual_seed(7)
        self.rewards, self.ends = memory.rewards, memory.ends

    def step(self) -> None:
        frame = self.drawn(self.world.denoiser, self.frames, self.frames.flatten(1, 2), self.actions)
        if isinstance(self.world.reward_end, RewardEndModel):
            *logits, self.state = self.world.reward_end(
                self.frames[:, -1:], self.actions[:, -1:], frame[:, None], self.state
            )
            reward, end = (
                torch.multinomial(of_step[:, 0].softmax(-1), 1, generator=self.generator)[:, 0] for of_step in logits
            )
            self.rewards, self.ends = reward.float() - 1, end.bool()
        self.frames = torch.cat((self.frames[:, 1:], frame[:, None]), dim=1)
        if self.full_res is not None:
            assert self.world.upsampler is not None
            context = torch.cat((self.full_res.flatten(1, 2), enlarge(frame, 5)), dim=1)
            larger = self.drawn(self.world.upsampler, self.full_res, context, None)
            self.full_res = torch.cat((self.full_res[:, 1:], larger[:, None]), dim=1)
        self.actions = torch.cat((self.actions[:, 1:], torch.zeros_like(self.actions[:, :1])), dim=1)

    def drawn(self, denoiser: Denoiser, like: Tensor, context: Tensor, actions: Tensor | None) -> Tensor:
        sampler = self.preset.dynamics if denoiser is self.world.denoiser else self.preset.upsampler
        assert sampler is not None
        shape = (len(like), *like.shape[2:])
        return sample(denoiser.given_actions(actions), self.noise, shape, context, sampler)

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator)


def test_draws_what_the_plain_path_draws(world: World) -> None:
    """For 20 frames (5 of two stages), while every tensor stays where it is.

    Frames are compared as far as the plain path went on from the same ones: a sum in another order can put a value on
    the other side of a step of 8 bits, so the memory takes over what the plain dream remembers after every frame.
    """
    memory = memory_of(world, 2)
    frame = frame_step(world, Runtime(CPU, torch.float32), torch.Generator().manual_seed(7))
    plain = PlainDream(world, memory)
    places = [tensor.data_ptr() for tensor in memory.tensors]
    actions, rewarded = torch.Generator().manual_seed(0), 0
    for _ in range(20 if memory.full_res is None else 5):
        taken = torch.randint(2, memory.actions[:, -1].shape, generator=actions)
        memory.actions[:, -1] = plain.actions[:, -1] = taken
        frame.draw(memory)
        plain.step()
        for mine, other in ((memory.frames, plain.frames), (memory.full_res, plain.full_res)):
            if mine is not None and other is not None:
                levels = (mine - other).abs() * 127.5
                assert float(levels.max()) < 1.6
                assert float((levels > 0.5).float().mean()) < 1e-3
                mine.copy_(other)
        assert torch.equal(memory.actions, plain.actions)
        assert torch.equal(memory.rewards, plain.rewards)
        assert torch.equal(memory.ends, plain.ends)
        for half, other_half in zip(memory.state or (), plain.state or (), strict=True):
            torch.testing.assert_close(half, other_half, atol=5e-2, rtol=0)  # it saw the frame
            half.copy_(other_half)
        rewarded += int(memory.rewards.count_nonzero())
    assert places == [tensor.data_ptr() for tensor in memory.tensors]
    assert bool(rewarded) == (memory.state is not None)


def test_where_nothing_can_be_recorded_frames_are_drawn_all_the_same() -> None:
    """Here there is no GPU: recording fails before the first frame, and leaves no trace in it."""
    world = awake_world()
    stages: list[str] = []
    recording = WorldModelEnv(
        world, 2, Runtime(CPU, torch.float32, records=True), on_stage=lambda stage, drawn: stages.append(stage)
    )
    plain = WorldModelEnv(world, 2, Runtime(CPU, torch.float32))
    for seed in (4, 5):
        assert torch.equal(recording.reset(seed)[0], plain.reset(seed)[0])
        for step in range(3):
            actions = torch.full((2,), step)
            if (seed, step) == (4, 0):
                with pytest.warns(UserWarning, match="cannot be recorded"):
                    seen = recording.step(actions)
            else:
                seen = recording.step(actions)
            for one, other in zip(seen[:4], plain.step(actions)[:4], strict=True):
                assert torch.equal(one, other)
    assert stages == ["frame"] * 6


def test_what_is_returned_stays_as_it_is() -> None:
    """The memory changes in place: a caller's frames must not."""
    world = replace(awake_world(), reward_end=None)
    env = WorldModelEnv(world, 2, Runtime(CPU, torch.float32), horizon=2)
    obs, info = env.reset(0)
    returned = [obs, info["context"]]
    copies = [tensor.clone() for tensor in returned]
    for _ in range(4):
        *seen, info = env.step(torch.zeros(2, dtype=torch.int64))
        returned += [*seen, *info.values()]
        copies += [tensor.clone() for tensor in returned[len(copies) :]]
    assert all(torch.equal(one, other) for one, other in zip(returned, copies, strict=True))
