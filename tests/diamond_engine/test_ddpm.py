"""DDPM told in EDM's terms is DDPM: checked against the formulas of Ho et al. (2020) as they are written."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diamond_engine import WorldModelEnv, load_world
from diamond_engine.diffusion import DDPM, Denoiser, SamplerConfig, Segment, UniformSteps, denoiser_loss, sample
from diamond_engine.diffusion.ddpm import NOISE_LEVELS, ddpm_schedule, posterior
from diamond_engine.diffusion.denoiser import add_noise
from diamond_engine.errors import DiamondError
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import World
from diamond_engine.worlds import as_ddpm, write_world
from tests.conftest import tiny_config, tiny_world

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
ALPHA_BARS = (1 - BETAS).cumprod(0)
GENERATOR = torch.Generator()
ONE_LEVEL = 2 / 255 + 1e-5


@pytest.fixture(autouse=True)
def _seeded() -> None:
    GENERATOR.manual_seed(0)


def noise(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=GENERATOR)


def ddpm_world() -> World:
    """The tiny world, every layer of its denoiser doing something, as DDPM has it."""
    config = as_ddpm(tiny_config("Breakout"))
    torch.manual_seed(0)
    denoiser = Denoiser(config.denoiser).eval()
    torch.nn.init.normal_(denoiser.inner_model.conv_out.weight, std=0.1)
    return replace(tiny_world(), config=config, denoiser=denoiser)


def test_noise_levels_are_those_of_the_linear_schedule() -> None:
    expected = ((1 - ALPHA_BARS) / ALPHA_BARS).sqrt()
    torch.testing.assert_close(torch.tensor(NOISE_LEVELS, dtype=torch.float64), expected)


@pytest.mark.parametrize("steps", [1, 3, 10, 1000])
def test_a_schedule_is_a_part_of_the_steps(steps: int) -> None:
    levels = ddpm_schedule(steps)
    assert len(levels) == steps + 1
    assert (levels[0], levels[-1]) == (NOISE_LEVELS[-1], 0.0)
    assert set(levels[:-1]) <= set(NOISE_LEVELS)
    assert levels == sorted(levels, reverse=True)
    if steps == 1000:
        assert levels[:-1] == list(reversed(NOISE_LEVELS))


@pytest.mark.parametrize("step", [0, 99, 499, 999])
def test_the_network_sees_x_t(step: int) -> None:
    denoiser = Denoiser(as_ddpm(tiny_config("Breakout")).denoiser)
    x_0, sigma = torch.full((1, 3, 64, 64), 0.7), torch.tensor([NOISE_LEVELS[step]])
    x_t = add_noise(x_0, sigma, denoiser.cfg.sigma_offset_noise, noise) * denoiser.conditioners(sigma).c_in
    alpha_bar = float(ALPHA_BARS[step])
    deviation = math.sqrt(1 - alpha_bar)
    assert float(x_t.mean()) == pytest.approx(math.sqrt(alpha_bar) * 0.7, abs=0.04 * deviation)
    assert float(x_t.std()) == pytest.approx(deviation, rel=0.03)


@pytest.mark.parametrize("step", [0, 99, 499, 999])
def test_the_target_is_the_noise_and_knowing_it_recovers_the_frame(step: int) -> None:
    denoiser = Denoiser(as_ddpm(tiny_config("Breakout")).denoiser)
    frame = torch.randint(256, (2, 3, 16, 16), generator=GENERATOR) / 255 * 2 - 1
    epsilon, sigma = noise((2, 3, 16, 16)), torch.full((2,), NOISE_LEVELS[step])
    noisy, c = frame + sigma[0] * epsilon, denoiser.conditioners(sigma)
    torch.testing.assert_close((frame - c.c_skip * noisy) / c.c_out, epsilon, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(denoiser.wrap(noisy, epsilon, c), frame, atol=ONE_LEVEL, rtol=0)


def test_the_loss_of_a_network_that_says_nothing_is_the_variance_of_the_noise() -> None:
    denoiser = Denoiser(as_ddpm(tiny_config("Breakout")).denoiser)
    torch.nn.init.zeros_(denoiser.inner_model.conv_out.weight)
    segment = Segment(noise((8, 5, 3, 64, 64)).clamp(-1, 1), torch.zeros(8, 5).long(), torch.ones(8, 5).bool())
    assert denoiser_loss(denoiser, segment, UniformSteps(), noise).item() == pytest.approx(1.0, abs=0.02)


def test_training_meets_every_step_equally_often() -> None:
    drawn = UniformSteps().from_normal(noise((200_000,)))
    steps = torch.searchsorted(torch.tensor(NOISE_LEVELS), drawn)
    tenths = torch.bincount(steps // 100, minlength=10) / len(steps)
    torch.testing.assert_close(tenths, torch.full((10,), 0.1), atol=0.005, rtol=0)
    extremes = UniformSteps().from_normal(torch.tensor([-50.0, 50.0]))
    torch.testing.assert_close(extremes, torch.tensor([NOISE_LEVELS[0], NOISE_LEVELS[-1]]))


@pytest.mark.parametrize(("t", "s"), [(999, 998), (500, 499), (1, 0), (999, 899), (332, 99)])
def test_the_posterior_is_equation_7(t: int, s: int) -> None:
    """Ho et al. write it for x_t, which is a frame at level σ_t times √ᾱ_t; with s = t − 1, β is β_t."""
    kept_t, kept_s = ALPHA_BARS[t], ALPHA_BARS[s]
    alpha = kept_t / kept_s
    of_x_0 = kept_s.sqrt() * (1 - alpha) / (1 - kept_t)
    of_x_t = alpha.sqrt() * (1 - kept_s) / (1 - kept_t)
    variance = (1 - kept_s) / (1 - kept_t) * (1 - alpha)
    r, deviation = posterior(NOISE_LEVELS[t], NOISE_LEVELS[s])
    ours = torch.tensor([1 - r, r, deviation**2], dtype=torch.float64)
    scaled = torch.stack((of_x_0 / kept_s.sqrt(), of_x_t * (kept_t / kept_s).sqrt(), variance / kept_s))
    torch.testing.assert_close(ours, scaled, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_denoiser_that_knows_the_frame_draws_it(steps: int) -> None:
    frame, asked = noise((1, 3, 8, 8)).clamp(-1, 1), []

    def denoise(x: Tensor, sigma: float, context: Tensor, sigma_cond: float | None) -> Tensor:
        asked.append(sigma)
        assert float(((x - frame) / math.sqrt(1 + sigma**2)).std()) < 1.3
        return frame

    seen: list[Tensor] = []
    cfg = SamplerConfig(diffusion=DDPM, num_steps_denoising=steps)
    drawn = sample(denoise, noise, (1, 3, 8, 8), torch.zeros(1, 12, 8, 8), cfg, seen.append)
    assert torch.equal(drawn, frame)
    assert asked == cfg.schedule()[:-1]
    assert len(seen) == steps + 1
    assert cfg.network_calls == steps


def test_all_steps_draw_from_the_data_distribution() -> None:
    """For normal data the posterior mean of x_0 is known, and ancestral sampling over all steps gives the data back."""
    mean, deviation = 0.3, 0.5

    def denoise(x: Tensor, sigma: float, context: Tensor, sigma_cond: float | None) -> Tensor:
        return mean + (x - mean) * deviation**2 / (deviation**2 + sigma**2)

    cfg = SamplerConfig(diffusion=DDPM, num_steps_denoising=1000)
    drawn = sample(denoise, noise, (1, 1, 100, 100), torch.zeros(1, 1, 1, 1), cfg)
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.02)
    assert float(drawn.std()) == pytest.approx(deviation, rel=0.03)


def test_the_fast_path_draws_the_same() -> None:
    world = ddpm_world()
    sampler = world.config.preset("fast").dynamics
    context, act = noise((2, 12, 64, 64)).clamp(-1, 1), torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
    runtime = Runtime.choose("cpu", "float32", compile=False)
    plain, fast = runtime.plain(world.denoiser), runtime.for_frames(world.denoiser, sampler)
    drawn: list[Tensor] = []
    for denoiser in (plain, fast):
        GENERATOR.manual_seed(1)
        drawn.append(sample(denoiser.given_actions(act), noise, (2, 3, 64, 64), context, sampler))
    assert float((drawn[0] - drawn[1]).abs().max()) < ONE_LEVEL
    assert float((drawn[0] != drawn[1]).float().mean()) < 1e-3
    assert drawn[0].std() > 0.1


def test_a_world_keeps_its_diffusion_and_is_played(tmp_path: Path) -> None:
    write_world(tmp_path, ddpm_world())
    world = load_world(tmp_path)
    assert world.config.denoiser.diffusion == DDPM
    assert world.config.preset(None).with_steps(5).dynamics == SamplerConfig(diffusion=DDPM, num_steps_denoising=5)
    env = WorldModelEnv(world, 2, "cpu", dtype="float32")
    env.reset(seed=0)
    obs, *_ = env.step(torch.tensor([0, 1]))
    levels = obs.add(1).div(2).mul(255)
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert obs.unique().numel() > 10


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "diffusion: ddpm\nupsampler",
            "diffusion: ddmp\nupsampler",
            "unknown diffusion 'ddmp', this version knows",
        ),
        (
            "diffusion: ddpm\nupsampler",
            "diffusion: edm\nupsampler",
            "preset quality does not sample the dynamics",
        ),
    ],
)
def test_a_world_that_contradicts_itself_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_world(tmp_path, ddpm_world())
    path = tmp_path / "world.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DiamondError, match=message):
        load_world(tmp_path)
