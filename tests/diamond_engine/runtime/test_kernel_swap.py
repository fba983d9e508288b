"""Going on by other kernels: what dreams and agents keep, and where the kernels come from meanwhile."""

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diamond_engine import WorldModelEnv
from diamond_engine.errors import UsageError
from diamond_engine.runtime import KernelSwap, Runtime, choose_at_once
from diamond_engine.runtime.cpu.compiled import CompiledEncoder, CompiledTrunk
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.world_model import World

CPU = torch.device("cpu")
PLAIN = Runtime(CPU, torch.float32)
STEPS = 8


def played(world: World, swap_after: int | None, kernels: Kernels) -> tuple[Tensor, list[tuple[float, bool]]]:
    """Frames ``(T, C, H, W)``, rewards and ends of a dream that kernels take over after so many steps."""
    env = WorldModelEnv(world, 1, PLAIN, "fast", horizon=6)
    env.reset(seed=3)
    frames: list[Tensor] = []
    outcomes: list[tuple[float, bool]] = []
    for step in range(STEPS):
        if step == swap_after:
            env.run_on(Runtime(CPU, torch.float32, kernels))
        obs, reward, end, _, _ = env.step(torch.tensor([step % env.num_actions]))
        frames.append(obs[0])
        outcomes.append((float(reward[0]), bool(end[0])))
    return torch.stack(frames), outcomes


def test_a_dream_goes_on(compilable_world: World, kernels: Kernels) -> None:
    plain, outcomes = played(compilable_world, None, kernels)
    swapped, same = played(compilable_world, 3, kernels)
    assert same == outcomes
    assert torch.equal(swapped[:3], plain[:3])
    levels = (swapped - plain).abs() * 127.5
    assert float(levels.max()) < 2.6  # truncated to 8 bits, then fed back
    assert float((levels > 0.5).float().mean()) < 1e-2


def test_an_agent_remembers(compilable_world: World, kernels: Kernels) -> None:
    obs = torch.randn(9, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    steady, swapped = (compilable_world.agent(PLAIN, seed=1) for _ in range(2))
    for step, seen in enumerate(obs):
        if step == 4:
            swapped.run_on(Runtime(CPU, torch.float32, kernels))
        assert swapped.act(seen).tolist() == steady.act(seen).tolist()
        torch.testing.assert_close(swapped.value, steady.value, atol=1e-4, rtol=0)
    assert has(swapped.network, CompiledEncoder)


def test_kernels_really_take_over(compilable_world: World, kernels: Kernels) -> None:
    env = WorldModelEnv(compilable_world, 1, PLAIN, "fast")
    before = env._frame.dynamics, env._frame.reward_end  # pyright: ignore[reportPrivateUsage]
    env.run_on(PLAIN)
    assert before == (env._frame.dynamics, env._frame.reward_end)  # pyright: ignore[reportPrivateUsage]
    env.run_on(Runtime(CPU, torch.float32, kernels))
    assert has(env._frame.dynamics, CompiledTrunk)  # pyright: ignore[reportPrivateUsage]
    assert env._frame.reward_end is not None  # pyright: ignore[reportPrivateUsage]
    assert has(env._frame.reward_end, CompiledEncoder)  # pyright: ignore[reportPrivateUsage]


def test_neither_goes_on_in_another_precision(compilable_world: World) -> None:
    other = Runtime(CPU, torch.bfloat16)
    for runner in (WorldModelEnv(compilable_world, 1, PLAIN), compilable_world.agent(PLAIN)):
        with pytest.raises(UsageError, match=r"what runs on cpu in float32 cannot go on on .*, bfloat16"):
            runner.run_on(other)


def has(network: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(module, kind) for module in network.modules())


def awaited(kernel_swap: KernelSwap) -> Runtime:
    while True:
        runtime = kernel_swap.poll()
        if runtime is not None:
            return runtime
        time.sleep(0.05)


def test_the_first_start_builds_meanwhile_and_the_second_finds_them(
    quick_compiler: str, compilable_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", quick_compiler)
    runtime, kernel_swap = choose_at_once("cpu", "float32")
    assert kernel_swap is not None
    assert runtime.describe().endswith("float32 (kernels are being built)")
    env = WorldModelEnv(compilable_world, 1, runtime, "fast")
    env.reset(seed=0)
    env.step(torch.zeros(1, dtype=torch.int64))
    better = awaited(kernel_swap)
    assert kernel_swap.poll() is None
    assert better.notes == (("compiled norms: torch convolves faster in float32",) if better.only_norms else ())
    env.run_on(better)
    env.step(torch.zeros(1, dtype=torch.int64))
    again, nothing_to_build = choose_at_once("cpu", "float32")
    assert again.compiled
    assert nothing_to_build is None


def test_a_build_that_fails_leaves_the_runtime_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'error: out of coffee' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", str(compiler))
    _, kernel_swap = choose_at_once("cpu", "float32")
    assert kernel_swap is not None
    assert awaited(kernel_swap).notes == (f"not compiled: {compiler} failed: error: out of coffee",)


def test_nothing_is_built_without_a_compiler_or_a_wish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path))
    runtime, kernel_swap = choose_at_once("cpu", "float32", compile=False)
    assert (runtime.compiled, runtime.notes, kernel_swap) == (False, (), None)
    monkeypatch.setenv("CXX", "nonesuch")
    runtime, kernel_swap = choose_at_once("cpu", "float32")
    assert (runtime.compiled, runtime.notes, kernel_swap) == (
        False,
        ("not compiled: no C++ compiler (nonesuch)",),
        None,
    )
    assert not list(tmp_path.glob("*.so"))
