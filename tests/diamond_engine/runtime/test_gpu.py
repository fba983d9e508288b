"""Dreams on a pretended GPU: recorded frames, what may not wait, planted faults, GPUs without bfloat16, MPS."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diamond_engine import World, WorldModelEnv
from diamond_engine.agents import Agent
from diamond_engine.errors import DiamondError
from diamond_engine.gym import DreamVectorEnv
from diamond_engine.runtime import DiffusionStep, Runtime
from tests.conftest import awake_world, make_first_person_world, tiny_token_world, tiny_world
from tests.pretended_device import OnDevice, PretendedDevice

CPU = torch.device("cpu")


@pytest.fixture
def gpu() -> Iterator[PretendedDevice]:
    with PretendedDevice().entered() as device:
        yield device


@pytest.fixture(params=["one stage", "two stages"])
def world(request: pytest.FixtureRequest) -> World:
    return awake_world() if request.param == "one stage" else make_first_person_world()


def dreamed(env: WorldModelEnv, steps: int = 4) -> list[Tensor]:
    """All that an environment says, in the host's memory: two episodes of actions."""
    said: list[Tensor] = []
    for seed in (4, 5):
        obs, info = env.reset(seed)
        said += [obs, *info.values()]
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            *results, info = env.step(torch.randint(2, idle(env).shape, generator=generator))
            said += [*results, *info.values()]
    return [tensor.cpu() for tensor in said]


def idle(env: WorldModelEnv) -> Tensor:
    """What is done where nothing is done, ``(B,)`` or ``(B, A)``."""
    return torch.zeros(env.num_envs, *env.world.config.action_shape, dtype=torch.int64)


def assert_alike(mine: list[Tensor], others: list[Tensor]) -> None:
    """But for sums in another order, which put a value on the other side of a step of 8 bits now and then."""
    for one, other in zip(mine, others, strict=True):
        assert float((one.float() - other.float()).abs().mean()) < 1e-3


def test_a_recorded_dream_is_the_plain_one(gpu: PretendedDevice, world: World) -> None:
    """Dreams end, at the horizon and before, and begin again; the graph is captured once and replayed at every step."""
    preset = None if world.upsampler is None else "fast"  # several denoising steps, or two stages
    env = WorldModelEnv(world, 2, "cuda", preset, dtype="float32", horizon=3)
    assert env.runtime.records
    said = dreamed(env)
    assert [graph.replays for graph in gpu.graphs] == [8]
    launched = WorldModelEnv(world, 2, "cuda", preset, dtype="float32", horizon=3, compile=False)
    assert all(map(torch.equal, said, dreamed(launched)))
    assert_alike(said, dreamed(WorldModelEnv(world, 2, Runtime(CPU, torch.float32), preset, horizon=3)))


def test_a_dream_of_tokens_is_launched(gpu: PretendedDevice) -> None:
    """Worlds of IRIS draw token by token: nothing of it is recorded."""
    world = tiny_token_world()
    said = dreamed(WorldModelEnv(world, 2, "cuda", dtype="float32", horizon=1), steps=2)
    assert not gpu.graphs
    assert_alike(said, dreamed(WorldModelEnv(world, 2, Runtime(CPU, torch.float32), horizon=1), steps=2))


@pytest.mark.parametrize("compiled", [True, False], ids=["recorded", "launched"])
def test_a_frame_never_waits(gpu: PretendedDevice, world: World, compiled: bool) -> None:
    """Nor does a step without automatic resets: an agent learns in dreams without a pause."""
    dtype = "auto" if world.upsampler is None else "float32"  # a CPU takes long for large images in bfloat16
    env = WorldModelEnv(world, 2, "cuda", dtype=dtype, autoreset=False, compile=compiled)
    env.reset(0)
    with gpu.without_waiting():
        for _ in range(2):
            obs = env.step(idle(env))[0]
    assert isinstance(obs, OnDevice)


def test_a_step_of_dreams_that_begin_again_waits_once_unless_one_does(gpu: PretendedDevice) -> None:
    world = replace(tiny_world(), reward_end=None)
    env = WorldModelEnv(world, 2, "cuda", "fast", dtype="float32", horizon=2)
    env.reset(0)
    gpu.waits.clear()
    env.step(idle(env))
    assert gpu.waits == ["_local_scalar_dense"]


def test_dreams_of_their_own_seeds(gpu: PretendedDevice) -> None:
    """They are those of a CPU, launched without a pause; saved and restored; and recorded again by one seed for all."""

    def played(env: WorldModelEnv) -> list[Tensor]:
        return [tensor for _ in range(2) for tensor in env.step(idle(env))[:3]]

    env, host = (
        WorldModelEnv(awake_world(), 3, on, "fast", dtype="float32", autoreset=False)
        for on in ("cuda", Runtime(CPU, torch.float32))
    )
    for each in (env, host):
        each.reset(0)
        each.step(idle(each))
        each.reset([5, 8, 5])
    with gpu.without_waiting():
        said = played(env)
    assert_alike([tensor.cpu() for tensor in said], played(host))
    frames = said[-3].cpu()
    assert torch.equal(frames[0], frames[2])
    assert not torch.equal(frames[0], frames[1])
    state = env.save_state()
    after = played(env)
    env.restore_state(state)
    assert all(torch.equal(one.cpu(), other.cpu()) for one, other in zip(after, played(env), strict=True))
    assert [graph.replays for graph in gpu.graphs] == [1]
    env.reset(0)
    played(env)
    assert [graph.replays for graph in gpu.graphs] == [1, 2]


class TestPlantedFaults:
    """What would be wrong on a GPU alone is found here."""

    def test_a_cpu_tensor_in_a_dream(self, gpu: PretendedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(DiffusionStep, "_noise", lambda self, shape: torch.randn(shape))
        env = WorldModelEnv(tiny_world(), 2, "cuda", compile=False)
        env.reset(0)
        with pytest.raises(RuntimeError, match="expected all tensors to be on the same device, found cuda:0 and cpu"):
            env.step(idle(env))

    @pytest.mark.parametrize("compiled", [True, False], ids=["recorded", "launched"])
    def test_an_item_in_a_frame(self, gpu: PretendedDevice, monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
        judge = DiffusionStep._judge
        monkeypatch.setattr(
            DiffusionStep,
            "_judge",
            lambda self, memory, frame: judge(self, memory, frame * (1 + 0 * frame.mean().item())),
        )
        env = WorldModelEnv(tiny_world(), 2, "cuda", "fast", dtype="float32", compile=compiled, autoreset=False)
        env.reset(0)
        with gpu.without_waiting(), pytest.raises(RuntimeError, match="_local_scalar_dense makes the host wait"):
            env._frame.draw(env._memory)  # type: ignore[arg-type]
        if compiled:
            with pytest.warns(UserWarning, match=r"cannot be recorded \(operation not permitted when stream is captur"):
                env.step(idle(env))

    def test_a_generator_of_the_cpu(self, gpu: PretendedDevice) -> None:
        env = WorldModelEnv(tiny_world(), 2, "cuda", compile=False)
        env.reset(0)
        env._frame._source = torch.Generator()
        with pytest.raises(RuntimeError, match="was given a generator of another device"):
            env.step(idle(env))


def test_a_capture_that_fails_halfway_leaves_no_trace(gpu: PretendedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was drawn and changed before it failed is as it was: dreams are those of a device that records nothing."""
    world = tiny_world()
    plain = dreamed(WorldModelEnv(world, 2, "cuda", "fast", dtype="float32", compile=False), steps=2)
    judge = DiffusionStep._judge

    def waiting(self: DiffusionStep, memory: Any, frame: Tensor) -> None:
        assert float(frame.abs().max()) <= 1
        judge(self, memory, frame)

    monkeypatch.setattr(DiffusionStep, "_judge", waiting)
    env = WorldModelEnv(world, 2, "cuda", "fast", dtype="float32")
    with pytest.warns(UserWarning, match="cannot be recorded"):
        said = dreamed(env, steps=2)
    assert not gpu.graphs
    assert all(map(torch.equal, said, plain))


def test_an_agent_plays_gymnasiums_dreams(gpu: PretendedDevice) -> None:
    world = tiny_world()
    assert world.actor_critic is not None
    envs = DreamVectorEnv(world, num_envs=2, device="cuda", preset="fast", horizon=2)
    agent = Agent(world.actor_critic, Runtime.choose("cuda"))
    frames, _ = envs.reset(seed=0)
    for _ in range(3):
        actions = agent.act(torch.from_numpy(frames).movedim(-1, 1) / 127.5 - 1)
        assert isinstance(actions, OnDevice)
        frames, rewards, ends, truncs, _ = envs.step(actions.cpu().numpy())
        agent.reset(torch.from_numpy(ends | truncs))
        assert frames.dtype == np.uint8
        assert rewards.dtype == np.float64


@pytest.mark.parametrize(
    ("capability", "dtype"), [((6, 1), torch.float32), ((7, 5), torch.float32), ((8, 0), torch.bfloat16)], ids=str
)
def test_bfloat16_is_for_gpus_that_compute_in_it(capability: tuple[int, int], dtype: torch.dtype) -> None:
    with PretendedDevice("cuda", capability).entered():
        runtime = Runtime.choose("auto")
        assert (runtime.device.type, runtime.dtype) == ("cuda", dtype)
        assert torch.backends.cudnn.benchmark
        assert torch.backends.cuda.matmul.allow_tf32
        assert runtime.describe().startswith("Pretended GPU, ")
        env = WorldModelEnv(tiny_world(), 1, runtime, "fast")
        env.reset(0)
        assert env.step(idle(env))[0].isfinite().all()


def test_a_gpu_that_is_not_there(gpu: PretendedDevice) -> None:
    with pytest.raises(DiamondError, match="device 'cuda:1' is not available here: this machine has 1 GPU"):
        Runtime.choose("cuda:1")


def test_mps_has_no_float64(world: World) -> None:
    with PretendedDevice("mps").entered() as device:
        runtime = Runtime.choose("auto")
        assert (runtime.device.type, runtime.dtype, runtime.records) == ("mps", torch.float32, False)
        said = dreamed(WorldModelEnv(world, 2, runtime, "fast", horizon=1), steps=2)
        if world.reward_end is not None:
            envs = DreamVectorEnv(world, num_envs=2, device="mps", preset="fast")
            envs.reset(seed=0)
            assert envs.step(np.zeros(2, dtype=np.int64))[1].dtype == np.float64
        with pytest.raises(TypeError, match="no float64"):
            torch.zeros(1, device=device.device).double()
    assert_alike(said, dreamed(WorldModelEnv(world, 2, Runtime(CPU, torch.float32), "fast", horizon=1), steps=2))
