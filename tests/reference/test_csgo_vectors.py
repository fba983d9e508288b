"""Every group of the CS:GO reference vectors: network, dynamics and upsampler samplers, losses."""

import pytest
import torch

from diamond_engine.diffusion import Denoiser, SamplerConfig, Segment, SigmaDistribution, denoiser_loss, sample
from diamond_engine.diffusion.denoiser import enlarge
from tests.reference.vectors import RecordedNoise, Vectors, assert_close, assert_gradient_close, assert_same_frames

VECTORS = Vectors("csgo")
SAMPLERS = sorted(name for name, cfg in VECTORS.meta.items() if "num_steps_denoising" in cfg)
DYNAMICS = [name for name in SAMPLERS if name.endswith("_dynamics")]
UPSAMPLERS = [name for name in SAMPLERS if name.endswith("_upsampler")]
COVERED = {"csgo_inner", "csgo_dynamics_loss", "csgo_upsampler_loss", *DYNAMICS, *UPSAMPLERS}
SIGMAS = SigmaDistribution(loc=-1.2)


@pytest.fixture
def denoiser() -> Denoiser:
    return VECTORS.denoiser("denoiser", "csgo_denoiser")


@pytest.fixture
def upsampler() -> Denoiser:
    return VECTORS.denoiser("upsampler", "csgo_upsampler")


def test_every_group_is_covered() -> None:
    assert set(VECTORS.groups) == COVERED


@torch.no_grad()
def test_network(denoiser: Denoiser) -> None:
    g = VECTORS.groups["csgo_inner"]
    assert_close(denoiser.inner_model(g["noisy"], g["c_noise"], g["c_noise_cond"], g["obs"], g["act"]), g["out"])


@pytest.mark.parametrize("group_name", DYNAMICS)
@torch.no_grad()
def test_dynamics_sampler(denoiser: Denoiser, group_name: str) -> None:
    g, cfg = VECTORS.groups[group_name], SamplerConfig(**VECTORS.meta[group_name])
    assert_close(torch.tensor(cfg.schedule()), g["sigmas"])
    noise = RecordedNoise(g)
    out = sample(denoiser.given_actions(g["act"]), noise, tuple(g["out"].shape), g["obs"].flatten(1, 2), cfg)
    assert noise.left == 0
    assert_same_frames(out, g["out"])


@pytest.mark.parametrize("group_name", UPSAMPLERS)
@torch.no_grad()
def test_upsampler_sampler(upsampler: Denoiser, group_name: str) -> None:
    g, cfg = VECTORS.groups[group_name], SamplerConfig(**VECTORS.meta[group_name])
    factor = upsampler.cfg.upsampling_factor
    assert factor is not None
    assert_close(torch.tensor(cfg.schedule()), g["sigmas"])
    noise = RecordedNoise(g)
    context = torch.cat((g["prev_full"], enlarge(g["low_res"], factor)), dim=1)
    out = sample(upsampler.given_actions(None), noise, tuple(g["out"].shape), context, cfg)
    assert noise.left == 0
    assert_same_frames(out, g["out"])


def test_dynamics_loss(denoiser: Denoiser) -> None:
    g = VECTORS.groups["csgo_dynamics_loss"]
    assert_loss(denoiser, Segment(g["obs"], g["act"], g["mask"]), "csgo_dynamics_loss")


def test_upsampler_loss(upsampler: Denoiser) -> None:
    g = VECTORS.groups["csgo_upsampler_loss"]
    assert_loss(upsampler, Segment(g["full_res"], g["act"], g["mask"], low_res=g["obs"]), "csgo_upsampler_loss")


def assert_loss(denoiser: Denoiser, segment: Segment, group_name: str) -> None:
    g = VECTORS.groups[group_name]
    noise = RecordedNoise(g)
    loss = denoiser_loss(denoiser, segment, SIGMAS, noise)
    assert_close(loss, g["loss"])
    loss.backward()
    assert noise.left == 0
    assert_gradient_close(denoiser.inner_model.conv_in.weight.grad, g["grad_conv_in"])
