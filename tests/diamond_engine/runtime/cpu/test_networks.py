"""Whole networks: what ``Runtime`` makes of them computes what they compute."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diamond_engine.diffusion import Denoiser, DenoiserConfig, SamplerConfig, sample
from diamond_engine.networks import (
    ActorCritic,
    ActorCriticConfig,
    InnerModelConfig,
    RewardEndModel,
    RewardEndModelConfig,
)
from diamond_engine.runtime import FrameDenoiser, Runtime
from diamond_engine.runtime.cpu import program
from diamond_engine.runtime.cpu.compiled import (
    CompiledCell,
    CompiledEncoder,
    CompiledLinear,
    CompiledTrunk,
    OneStepLSTM,
)
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.runtime.cpu.program import pack_weights
from diamond_engine.runtime.frames import Trunk
from diamond_engine.runtime.rewrites import merge_projections

CPU = torch.device("cpu")
PLAIN = Runtime(CPU, torch.float32)
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 6e-2}
"""Of the largest value, after some thirty layers."""
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
ATARI = DenoiserConfig(
    InnerModelConfig(
        num_actions=4, cond_channels=32, depths=(2, 1, 1), channels=(32, 64, 32), attn_depths=(False, True, False)
    )
)
CSGO = replace(
    ATARI,
    noise_previous_obs=True,
    inner_model=replace(ATARI.inner_model, num_actions=51, multi_hot_actions=True, noise_cond=True),
)
UPSAMPLER = replace(
    ATARI, upsampling_factor=5, inner_model=replace(ATARI.inner_model, num_actions=None, low_res_cond=True)
)
PATCHED = replace(ATARI, inner_model=replace(ATARI.inner_model, patch_size=2))
ABOUT_NEWEST = replace(PATCHED, about_newest=True)
SAMPLERS = {
    "euler": SamplerConfig(),
    "heun": SamplerConfig(order=2, sigma_min=0.5),  # below, Heun makes much of the next of 256 levels
    "one step": SamplerConfig(num_steps_denoising=1),
    "noised context": SamplerConfig(s_cond=0.005),
    "churn": SamplerConfig(num_steps_denoising=4, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9),
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def awake(network: nn.Module) -> nn.Module:
    """With seeded weights, every layer of which does something."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.7 / parameter[0].numel() ** 0.5)
        elif not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


FIRST = SamplerConfig().schedule()[0]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_agree(actual: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    scale = float(expected.abs().max())
    torch.testing.assert_close(actual.float(), expected.float(), atol=TOLERANCE[dtype] * scale, rtol=0)


def inputs(cfg: DenoiserConfig, batch: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor | None]:
    """A noisy frame, its context, its actions."""
    inner = cfg.inner_model
    length = inner.num_steps_conditioning
    act: Tensor | None = None
    if inner.multi_hot_actions:
        act = (noise(batch, length, inner.num_actions or 0, seed=2) > 1).float()
    elif inner.num_actions is not None:
        act = torch.arange(batch * length).reshape(batch, length) % inner.num_actions
    images = length + inner.low_res_cond
    return noise(batch, 3, *size), noise(batch, 3 * images, *size, seed=1).clamp(-1, 1), act


class TestDenoisers:
    @DTYPES
    @pytest.mark.parametrize(
        ("cfg", "compiled", "size"),
        [
            pytest.param(cfg, compiled, size, id=f"{name}-{'kernels' if compiled else 'torch'}-{size}")
            for name, cfg, own in (("atari", ATARI, (64, 64)), ("csgo", CSGO, (30, 56)), ("upsampler", UPSAMPLER, None))
            for compiled, size in ((True, own), (True, (6, 9)), (False, (6, 9)))
            if size
        ],
    )
    def test_agree_at_every_level(
        self, kernels: Kernels, cfg: DenoiserConfig, size: tuple[int, int], compiled: bool, dtype: torch.dtype
    ) -> None:
        """What F_θ says, before clipping: D_θ less the noisy frame's part, over c_out."""
        denoiser = awake(Denoiser(cfg))
        assert isinstance(denoiser, Denoiser)
        sampler = SAMPLERS["noised context" if cfg.noise_previous_obs else "euler"]
        fast = Runtime(CPU, dtype, kernels if compiled else None).for_frames(denoiser, sampler)
        x, context, act = inputs(cfg, 2, size)
        seen: list[Tensor] = []
        fast.trunk.register_forward_hook(lambda module, given, output: seen.append(output))
        one = fast.given_actions(act)
        sigma_cond = sampler.s_cond or None
        for sigma in sampler.schedule()[:-1]:
            one(x, sigma, context, sigma_cond)
            level = torch.full((2,), sigma)
            cond = None if sigma_cond is None else torch.full_like(level, sigma_cond)
            expected = denoiser.network_output(x, denoiser.conditioners(level), context, act, cond)
            assert_agree(seen[-1], expected, dtype)
        assert isinstance(fast.trunk, CompiledTrunk if compiled else Trunk)

    @pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
    def test_draw_the_same_frames(self, kernels: Kernels, sampler: SamplerConfig) -> None:
        cfg = CSGO if sampler.s_cond else ATARI
        denoiser = awake(Denoiser(cfg))
        assert isinstance(denoiser, Denoiser)
        fast = Runtime(CPU, torch.float32, kernels).for_frames(denoiser, sampler)
        _, context, act = inputs(cfg, 3, (24, 40))
        drawn: list[Tensor] = []
        for model in (denoiser, fast):
            generator = torch.Generator().manual_seed(5)
            shape = (3, 3, 24, 40)
            denoise = model.given_actions(act)
            drawn.append(sample(denoise, lambda s, g=generator: torch.randn(s, generator=g), shape, context, sampler))
        levels = (drawn[0] - drawn[1]).abs() * 127.5
        assert float(levels.max()) < 1.6  # truncated to 8 bits: the next level, where they lie on its edge
        assert float((levels > 0.5).float().mean()) < 1e-3

    @pytest.mark.parametrize("compiled", [False, True], ids=["torch", "kernels"])
    @pytest.mark.parametrize("cfg", [PATCHED, ABOUT_NEWEST], ids=["patches", "about the newest frame"])
    def test_networks_of_patches_agree(self, kernels: Kernels, cfg: DenoiserConfig, compiled: bool) -> None:
        denoiser = awake(Denoiser(cfg))
        assert isinstance(denoiser, Denoiser)
        fast = Runtime(CPU, torch.float32, kernels if compiled else None).for_frames(denoiser, SamplerConfig())
        x, context, act = inputs(cfg, 2, (32, 44))
        for sigma in SamplerConfig().schedule()[:-1]:
            one, other = (model.given_actions(act)(x, sigma, context, None) for model in (fast, denoiser))
            assert float((one - other).abs().max()) * 127.5 < 1.6
            assert one.unique().numel() > 50
        assert isinstance(fast.trunk, CompiledTrunk if compiled else Trunk)

    @pytest.mark.parametrize("batch", [2, 5])
    def test_any_batch(self, kernels: Kernels, threads: int, batch: int) -> None:
        denoiser = awake(Denoiser(ATARI))
        assert isinstance(denoiser, Denoiser)
        fast = Runtime(CPU, torch.float32, kernels).for_frames(denoiser, SamplerConfig())
        for size in (batch, 1, batch):
            x, context, act = inputs(ATARI, size, (24, 24))
            one = fast.given_actions(act)(x, FIRST, context, None)
            other = denoiser.given_actions(act)(x, FIRST, context, None)
            assert float((one - other).abs().max()) * 127.5 < 1.6

    def test_no_weights_are_held_twice(self, kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
        denoiser = awake(Denoiser(ATARI))
        assert isinstance(denoiser, Denoiser)
        fast = Runtime(CPU, torch.float32, kernels).for_frames(denoiser, SamplerConfig())
        assert isinstance(fast.trunk, CompiledTrunk)
        convolutions = [module for module in fast.trunk.modules() if isinstance(module, nn.Conv2d)]
        unpacked: list[int] = []

        def pack(*given: Any) -> Tensor:
            unpacked.append(sum(conv.weight.numel() for conv in convolutions))
            return pack_weights(*given)

        monkeypatch.setattr(program, "pack_weights", pack)
        x, context, act = inputs(ATARI, 1, (16, 16))
        fast.given_actions(act)(x, FIRST, context, None)
        assert len(unpacked) == len(set(unpacked)) == len(convolutions)
        assert unpacked == sorted(unpacked, reverse=True)
        assert not any(conv.weight.numel() for conv in convolutions)
        assert denoiser.inner_model.unet.d_blocks[0].resblocks[0].conv1.weight.numel()

    def test_one_context_is_looked_at_once(self) -> None:
        fast = PLAIN.for_frames(Denoiser(ATARI), SamplerConfig())
        assert isinstance(fast, FrameDenoiser)
        calls: list[int] = []
        fast.conv_context.register_forward_hook(lambda module, given, output: calls.append(1))
        _, context, act = inputs(ATARI, 1, (16, 16))
        sample(fast.given_actions(act), lambda shape: noise(*shape), (1, 3, 16, 16), context, SamplerConfig())
        assert len(calls) == 1
        sample(fast.given_actions(act), lambda shape: noise(*shape), (1, 3, 16, 16), context + 1, SamplerConfig())
        assert len(calls) == 2

    def test_channels_that_the_kernels_do_not_know_stay_with_torch(self, kernels: Kernels) -> None:
        inner = replace(ATARI.inner_model, channels=(16, 48, 16), attn_depths=(False,) * 3)
        denoiser = awake(Denoiser(replace(ATARI, inner_model=inner)))
        assert isinstance(denoiser, Denoiser)
        fast = Runtime(CPU, torch.float32, kernels).for_frames(denoiser, SamplerConfig())
        assert isinstance(fast.trunk, Trunk)
        x, context, act = inputs(ATARI, 1, (16, 16))
        one, other = (model.given_actions(act)(x, FIRST, context, None) for model in (fast, denoiser))
        assert float((one - other).abs().max()) * 127.5 < 1.6


class TestRewardEndModels:
    @DTYPES
    @pytest.mark.parametrize("compiled", [False, True], ids=["torch", "kernels"])
    @pytest.mark.parametrize("pooled", [False, True], ids=["paper", "pooled"])
    def test_agree_over_time(
        self, kernels: Kernels, threads: int, pooled: bool, compiled: bool, dtype: torch.dtype
    ) -> None:
        sizes = {"channels": (32, 32), "depths": (1, 2), "attn_depths": (False, True), "img_size": 16}
        cfg = RewardEndModelConfig(num_actions=4, lstm_dim=32, cond_channels=16, pooled=pooled, **sizes)
        plain = awake(RewardEndModel(cfg))
        fast = Runtime(CPU, dtype, kernels if compiled else None).for_inference(plain)
        if compiled:
            modules = [type(module) for module in fast.modules()]
            assert CompiledEncoder in modules
            assert OneStepLSTM in modules
            assert CompiledCell in modules
        frames = noise(3, 5, 3, 16, 16).clamp(-1, 1)
        act = torch.arange(12).reshape(3, 4) % 4
        state = other_state = None
        for first, last in ((0, 1), (1, 2), (2, 4)):
            given = frames[:, first:last], act[:, first:last], frames[:, first + 1 : last + 1]
            *logits, state = fast(*given, state)
            *expected, other_state = plain(*given, other_state)
            for one, other in zip(logits, expected, strict=True):
                assert one.shape == other.shape
                assert_agree(one, other, dtype)
            assert [half.shape for half in state] == [half.shape for half in other_state]


class TestActorCritics:
    @DTYPES
    @pytest.mark.parametrize("batch", [1, 3])
    @pytest.mark.parametrize("down", [(True, True), (True, False)], ids=str)
    def test_agree_over_time(
        self, kernels: Kernels, threads: int, batch: int, down: tuple[bool, ...], dtype: torch.dtype
    ) -> None:
        plain = awake(
            ActorCritic(ActorCriticConfig(num_actions=4, lstm_dim=32, img_size=24, channels=(32, 64), down=down))
        )
        fast = Runtime(CPU, dtype, kernels).for_inference(plain)
        assert isinstance(fast.encoder, CompiledEncoder)
        assert isinstance(fast.lstm, CompiledCell)
        state, other_state = fast.initial_state(batch), plain.initial_state(batch)
        for seed in range(3):
            obs = noise(batch, 3, 24, 24, seed=seed).clamp(-1, 1)
            logits, values, state = fast(obs, state)
            expected_logits, expected_values, other_state = plain(obs, other_state)
            outputs, expected = (
                torch.column_stack((logits, values)),
                torch.column_stack((expected_logits, expected_values)),
            )
            assert_agree(outputs, expected, dtype)
            for half, expected_half in zip(state, other_state, strict=True):
                assert_agree(half, expected_half, dtype)

    @DTYPES
    @pytest.mark.parametrize("channels", [(8, 16, 32, 64), (4, 20)], ids=str)
    def test_few_channels_are_filled_up(
        self, kernels: Kernels, threads: int, channels: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        down = (True,) * len(channels)
        plain = awake(ActorCritic(ActorCriticConfig(num_actions=4, img_size=32, channels=channels, down=down)))
        fast = Runtime(CPU, dtype, kernels).for_inference(plain)
        assert isinstance(fast.encoder, CompiledEncoder)
        obs = noise(3, 3, 32, 32).clamp(-1, 1)
        assert_agree(fast.encode(obs), plain.encode(obs), dtype)

    def test_channels_in_other_groups_stay_with_torch(self, kernels: Kernels) -> None:
        fast = Runtime(CPU, torch.float32, kernels).for_inference(
            ActorCritic(ActorCriticConfig(num_actions=4, channels=(8, 48, 32, 64)))
        )
        assert not isinstance(fast.encoder, CompiledEncoder)


@DTYPES
@pytest.mark.parametrize("shape", [(512,), (3, 512), (2, 5, 512), (3, 32, 512)], ids=str)
def test_large_products(kernels: Kernels, threads: int, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    network = awake(nn.Sequential(nn.Linear(512, 512), nn.Linear(512, 2064)))
    fast = Runtime(CPU, dtype, kernels).for_inference(network)
    assert [type(layer) for layer in fast] == [nn.Linear, CompiledLinear]
    x = noise(*shape).to(dtype)
    assert fast(x).shape == (*shape[:-1], 2064)
    assert_agree(fast(x), network(x.float()), dtype)


def test_merged_projections_are_those_of_every_norm() -> None:
    unet = awake(Denoiser(ATARI)).inner_model.unet
    runtime = Runtime(CPU, torch.float32)
    merged_unet = runtime.plain(unet)
    merged = merge_projections(merged_unet)
    cond, x = noise(2, 32), noise(2, 32, 16, 16)
    torch.testing.assert_close(merged_unet(x, merged(cond)), unet(x, cond), atol=1e-4, rtol=1e-4)
    norms = [module for module in merged_unet.modules() if type(module).__name__ == "AdaptiveGroupNorm"]
    assert merged.out_features == sum(2 * norm.channels for norm in norms)
    assert not any(isinstance(module, nn.Linear) for module in merged_unet.modules())
