"""Residual blocks whose norms run on the CPU's kernels against torch's, and what stays as it was."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diamond_engine.diffusion import (
    Denoiser,
    DenoiserConfig,
    SamplerConfig,
    Segment,
    SigmaDistribution,
    denoiser_loss,
)
from diamond_engine.networks import InnerModelConfig
from diamond_engine.networks.blocks import AdaptiveGroupNorm, ResBlock
from diamond_engine.runtime import Runtime
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.runtime.cpu.norms import FusedResBlock, fuse_norms
from tests.conftest import awaken


def images(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Channels-last noise around 3, with a channel that is far off."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 3
    x[:, -1] += 20
    return x.to(dtype, memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [32, 96])
@pytest.mark.parametrize("batch", [1, 3])
def test_float32_is_torchs_and_so_are_its_gradients(kernels: Kernels, threads: int, channels: int, batch: int) -> None:
    x, modulation = images(batch, channels, 5, 7, seed=1), 0.5 * torch.randn(batch, 2 * channels)
    gradient = images(batch, channels, 5, 7, seed=2)
    given = [tensor.clone().requires_grad_() for tensor in (x, modulation)]
    scale, shift = given[1][:, :, None, None].chunk(2, dim=1)
    expected = F.silu(F.group_norm(given[0], channels // 32, eps=1e-5) * (1 + scale) + shift)
    expected.backward(gradient)
    assert (kernels.modulate(x, modulation) - expected).abs().max() < 1e-4
    for found, tensor in zip(kernels.modulate_backward(x, modulation, gradient), given, strict=True):
        assert tensor.grad is not None
        assert (found - tensor.grad).abs().max() < 1e-4 * tensor.grad.abs().max()


def test_bfloat16_is_nearer_to_the_truth_than_torchs(kernels: Kernels, threads: int) -> None:
    x, modulation = images(2, 64, 16, 16, seed=1, dtype=torch.bfloat16), 0.5 * torch.randn(2, 128)
    scale, shift = modulation[:, :, None, None].chunk(2, dim=1)

    def by_torch(x: Tensor) -> Tensor:
        normed = F.group_norm(x, 2, eps=1e-5)
        return F.silu(torch.addcmul(shift.to(x.dtype), normed, 1 + scale.to(x.dtype))).float()

    truth = by_torch(x.float())
    error = (kernels.modulate(x, modulation).float() - truth).abs().mean()
    assert error < (by_torch(x) - truth).abs().mean()


def small_denoiser() -> Denoiser:
    """Every block of a U-Net, at a size that the kernels can run; no weight is zero."""
    torch.manual_seed(0)
    inner = InnerModelConfig(
        num_actions=4, cond_channels=16, depths=(1, 1), channels=(32, 64), attn_depths=(False, False)
    )
    denoiser = Denoiser(DenoiserConfig(inner_model=inner))
    awaken(denoiser)
    return denoiser


def gradients(denoiser: Denoiser, runtime: Runtime) -> tuple[Tensor, Tensor]:
    """Loss and all gradients in a row, of the same segment and noise."""
    generator = torch.Generator().manual_seed(5)
    segment = Segment(
        torch.rand(3, 6, 3, 16, 16, generator=generator) * 2 - 1,
        torch.randint(4, (3, 6), generator=generator),
        torch.ones(3, 6, dtype=torch.bool),
    )
    with runtime.autocast():
        loss = denoiser_loss(
            denoiser, segment, SigmaDistribution(), lambda shape: torch.randn(shape, generator=generator)
        )
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in denoiser.parameters() if p.grad is not None])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.1)])
def test_a_denoiser_has_the_gradients_of_the_plain_one(kernels: Kernels, dtype: str, tolerance: float) -> None:
    plain, fast = small_denoiser(), small_denoiser()
    expected = gradients(plain, Runtime.choose("cpu", "float32", compile=False))
    runtime = replace(Runtime.choose("cpu", dtype, compile=False), kernels=kernels)
    runtime.for_training(fast)
    assert any(type(module) is FusedResBlock for module in fast.modules())
    found = gradients(fast, runtime)
    assert abs(found[0] - expected[0]) < tolerance * expected[0]
    assert (found[1] - expected[1]).norm() < tolerance * expected[1].norm()


def test_weights_keep_their_names_and_copies_draw_the_same(kernels: Kernels) -> None:
    denoiser = small_denoiser()
    before = {name: value.clone() for name, value in denoiser.state_dict().items()}
    runtime = Runtime.choose("cpu", "float32", compile=False)
    inputs = torch.rand(1, 3, 16, 16), torch.ones(1), torch.rand(1, 12, 16, 16), torch.zeros(1, 4, dtype=torch.long)
    expected = denoiser(*inputs)
    fuse_norms(denoiser)
    after = denoiser.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for copy in (deepcopy(denoiser), runtime.for_inference(denoiser), runtime.plain(denoiser)):
        assert ((copy(*inputs) - expected).abs() > 1.5 * 2 / 255).float().mean() < 0.01


def test_blocks_of_other_widths_stay_plain() -> None:
    block = ResBlock(8, 8, 4, attention=False)
    assert isinstance(block.norm1, AdaptiveGroupNorm)
    fuse_norms(block)
    assert type(block) is ResBlock


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1.6), (torch.bfloat16, 12)])
def test_frames_are_drawn_through_them_where_torch_convolves_faster(
    kernels: Kernels, dtype: torch.dtype, tolerance: float
) -> None:
    denoiser, sampler = small_denoiser(), SamplerConfig(num_steps_denoising=1)
    plain = Runtime(torch.device("cpu"), dtype)
    fused = replace(plain, kernels=kernels, only_norms=True)
    assert fused.compiled
    inputs = torch.rand(2, 3, 16, 16), sampler.schedule()[0], torch.rand(2, 12, 16, 16), None
    act = torch.zeros(2, 4, dtype=torch.long)
    networks = [runtime.for_frames(denoiser, sampler) for runtime in (plain, fused)]
    assert [any(type(m) is FusedResBlock for m in network.modules()) for network in networks] == [False, True]
    one, other = (network.given_actions(act)(*inputs) for network in networks)
    assert float((one - other).abs().max()) * 127.5 < tolerance
    assert one.unique().numel() > 50
