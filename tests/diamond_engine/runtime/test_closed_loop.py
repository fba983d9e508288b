"""Frames of the bundled world, each drawn from those before: the fast path beside float32 as it is written.

Same noise, same actions: the first 15 frames stay above 40 dB.
"""

import pytest
import torch
from torch import Tensor

from diamond_engine import load_world
from diamond_engine.diffusion import Denoiser, sample
from diamond_engine.frames import from_numpy
from diamond_engine.runtime import FrameDenoiser, Runtime
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.world_model import World

CPU = torch.device("cpu")
FRAMES = 15
LEAST_PSNR = 40.0


@torch.no_grad()
def dream(world: World, model: Denoiser | FrameDenoiser, frames: int) -> Tensor:
    """``(T, C, H, W)`` from the first start context."""
    assert world.contexts is not None
    start = world.contexts.take(torch.zeros(1, dtype=torch.int64).numpy())
    context = from_numpy(start.frames, CPU)
    actions = torch.cat((torch.from_numpy(start.actions), torch.zeros(1, 1, dtype=torch.int64)), dim=1)
    generator = torch.Generator().manual_seed(0)
    played = torch.randint(len(world.game.actions), (frames,), generator=generator)
    drawn: list[Tensor] = []
    for action in played:
        actions[:, -1] = action
        frame = sample(
            model.given_actions(actions),
            lambda shape: torch.randn(shape, generator=generator),
            (1, *context.shape[2:]),
            context.flatten(1, 2),
            world.config.preset(None).dynamics,
        )
        context = torch.cat((context[:, 1:], frame[:, None]), dim=1)
        actions = torch.roll(actions, -1, dims=1)
        drawn.append(frame[0])
    return torch.stack(drawn)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_fast_dreams_stay_with_float32_ones(kernels: Kernels, dtype: torch.dtype) -> None:
    world = load_world("atari/Breakout")
    sampler = world.config.preset(None).dynamics
    exact = dream(world, Runtime(CPU, torch.float32).plain(world.denoiser), FRAMES)
    fast = dream(world, Runtime(CPU, dtype, kernels).for_frames(world.denoiser, sampler), FRAMES)
    errors = (exact - fast).div(2).square().mean(dim=(1, 2, 3))
    psnr = -10 * errors.clamp(min=1e-12).log10()
    assert float(psnr.min()) > LEAST_PSNR, psnr
