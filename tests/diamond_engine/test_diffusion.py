"""Schedule, sampler and denoiser where the reference vectors do not reach: bounds, counts, limits."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diamond_engine.diffusion import (
    Denoiser,
    DenoiserConfig,
    SamplerConfig,
    SamplerLevels,
    SigmaDistribution,
    karras_schedule,
    sample,
)
from diamond_engine.diffusion.denoiser import Conditioners, Segment, add_noise, denoiser_loss, motion_weights, wrap
from diamond_engine.diffusion.sampler import MAX_CHURN
from diamond_engine.networks import InnerModelConfig

SHAPE = (2, 3, 8, 8)
INNER = InnerModelConfig(num_actions=4, cond_channels=16, depths=(1, 1), channels=(8, 8), attn_depths=(False, False))


class Recorder:
    """A denoiser that always sees one clean image, and notes at what levels it was asked."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
        self.sigmas: list[float] = []
        self.contexts: list[Tensor] = []

    def __call__(self, x: Tensor, sigma: float, context: Tensor, sigma_cond: float | None) -> Tensor:
        self.sigmas.append(sigma)
        self.contexts.append(context)
        return self.image


class Noise:
    """Seeded noise that notes the shapes drawn."""

    def __init__(self) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        self.shapes.append(shape)
        return torch.randn(shape, generator=self._generator)


class TestSchedule:
    @pytest.mark.parametrize("steps", [2, 3, 10])
    def test_ends(self, steps: int) -> None:
        levels = karras_schedule(steps, 2e-3, 5.0, 7.0)
        assert len(levels) == steps + 1
        assert levels[0] == pytest.approx(5.0)
        assert levels[-2] == pytest.approx(2e-3)
        assert levels[-1] == 0
        assert levels == sorted(levels, reverse=True)

    def test_a_single_step_starts_at_sigma_max(self) -> None:
        assert karras_schedule(1, 2e-3, 5.0, 7.0) == pytest.approx([5.0, 0.0])

    def test_rho_one_is_linear(self) -> None:
        assert karras_schedule(3, 1.0, 5.0, 1.0) == pytest.approx([5.0, 3.0, 1.0, 0.0])


class TestSampler:
    @pytest.mark.parametrize(("steps", "order", "calls"), [(3, 1, 3), (3, 2, 5), (1, 1, 1), (1, 2, 1), (10, 2, 19)])
    def test_network_calls(self, steps: int, order: int, calls: int) -> None:
        cfg = SamplerConfig(num_steps_denoising=steps, order=order)
        denoise = Recorder(torch.zeros(SHAPE))
        sample(denoise, Noise(), SHAPE, torch.zeros(2, 12, 8, 8), cfg)
        assert len(denoise.sigmas) == cfg.network_calls == calls

    @pytest.mark.parametrize("order", [1, 2])
    def test_ends_at_what_the_denoiser_sees(self, order: int) -> None:
        image = torch.linspace(-1, 1, math.prod(SHAPE)).reshape(SHAPE)
        out = sample(Recorder(image), Noise(), SHAPE, torch.zeros(2, 12, 8, 8), SamplerConfig(order=order, s_churn=1))
        torch.testing.assert_close(out, image)

    def test_starts_from_unit_noise(self) -> None:
        seen: list[Tensor] = []
        sample(Recorder(torch.zeros(SHAPE)), Noise(), SHAPE, torch.zeros(2, 12, 8, 8), SamplerConfig(), seen.append)
        assert torch.equal(seen[0], Noise()(SHAPE))
        assert len(seen) == 4

    @pytest.mark.parametrize(
        ("s_churn", "sigma", "gamma"),
        [(0.0, 1.0, 0.0), (0.6, 1.0, 0.2), (100.0, 1.0, MAX_CHURN), (0.6, 0.4, 0.0), (0.6, 2.1, 0.0), (0.6, 2.0, 0.2)],
    )
    def test_churn_bounds(self, s_churn: float, sigma: float, gamma: float) -> None:
        cfg = SamplerConfig(num_steps_denoising=3, s_churn=s_churn, s_tmin=0.5, s_tmax=2.0)
        assert cfg.churn(sigma) == pytest.approx(gamma)

    def test_draws_noise_only_where_it_churns(self) -> None:
        def draws(**settings: Any) -> int:
            noise = Noise()
            sample(Recorder(torch.zeros(SHAPE)), noise, SHAPE, torch.zeros(2, 12, 8, 8), SamplerConfig(**settings))
            return len(noise.shapes)

        assert draws() == 1
        assert draws(s_churn=1.0) == 4
        assert draws(s_churn=1.0, s_tmin=1.0) == 2

    def test_context_noise_adds_up(self) -> None:
        denoise = Recorder(torch.zeros(SHAPE))
        context = torch.zeros(2, 12, 64, 64)
        sample(denoise, Noise(), SHAPE, context, SamplerConfig(s_cond=0.1))
        scales = [seen.std().item() for seen in denoise.contexts]
        assert scales == pytest.approx([0.1, 0.1 * math.sqrt(2), 0.1 * math.sqrt(3)], rel=0.05)
        assert not context.any()


class TestDenoiser:
    def test_truncates_to_8_bits(self) -> None:
        one = torch.ones(1, 1, 1, 1)
        c = Conditioners(c_in=one, c_out=one, c_skip=one, c_noise=one.flatten())
        values = torch.tensor([-3.0, -1.0, -1 + 1.9 / 255, 0.0, 1 - 0.1 / 255, 1.0, 3.0]).reshape(1, 1, 1, -1)
        image = wrap(values, torch.zeros_like(values), c)
        assert image.add(1).div(2).mul(255).round().flatten().tolist() == [0, 0, 0, 127, 254, 255, 255]
        image = wrap(values, torch.zeros_like(values), c, nearest=True)
        assert image.add(1).div(2).mul(255).round().flatten().tolist() == [0, 0, 1, 128, 255, 255, 255]

    @torch.no_grad()
    def test_what_stands_still_stays_as_it_is_about_the_newest_frame(self) -> None:
        denoiser = Denoiser(DenoiserConfig(inner_model=INNER, about_newest=True, sigma_data=0.1))
        torch.nn.init.zeros_(denoiser.inner_model.conv_out.bias)
        newest = torch.randint(256, SHAPE, generator=torch.Generator().manual_seed(0)) / 127.5 - 1
        for _ in range(20):  # with such weights it predicts no change
            context = torch.cat([newest] * 4, dim=1)
            drawn = denoiser(newest, torch.tensor([5.0, 5.0]), context, torch.zeros(2, 4).long())
            assert ((drawn - newest).abs() < 1e-4).all()
            newest = drawn

    @torch.no_grad()
    def test_output_lies_on_the_8_bit_grid(self) -> None:
        torch.manual_seed(0)
        denoiser = Denoiser(DenoiserConfig(inner_model=INNER))
        out = denoiser(torch.randn(SHAPE), torch.tensor([0.1, 3.0]), torch.randn(2, 12, 8, 8), torch.zeros(2, 4).long())
        levels = out.add(1).div(2).mul(255)
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
        assert out.unique().numel() > 10

    def test_preconditioning_keeps_unit_variance(self) -> None:
        c = Denoiser(DenoiserConfig(inner_model=INNER)).conditioners(torch.tensor([0.01, 1.0, 10.0]))
        noise = torch.tensor([0.01, 1.0, 10.0]).square() + 0.3**2
        torch.testing.assert_close(c.c_in.flatten().square() * (noise + 0.25), torch.ones(3))
        torch.testing.assert_close(c.c_out.flatten().square(), noise * 0.25 / (noise + 0.25))

    def test_noise_levels_are_clipped(self) -> None:
        levels = SigmaDistribution().from_normal(torch.tensor([-100.0, 0.0, 100.0]))
        torch.testing.assert_close(levels, torch.tensor([2e-3, math.exp(-0.4), 20.0]))

    def test_a_share_of_the_noise_levels_is_the_samplers(self) -> None:
        levels = SamplerLevels(first_share=0.5, later_share=0.2, rest=SigmaDistribution())
        drawn = levels.from_normal(torch.randn(100_000, generator=torch.Generator().manual_seed(0)))
        first, *later = (torch.tensor(sigma) for sigma in SamplerConfig().schedule()[:-1])
        assert levels.is_first(drawn).float().mean() == pytest.approx(0.5, abs=0.01)
        assert torch.equal(levels.is_first(drawn), drawn == first)
        for sigma in later:
            assert (drawn == sigma).float().mean() == pytest.approx(0.1, abs=0.01)
        rest = drawn[~torch.isin(drawn, torch.stack([first, *later]))].log()
        assert rest.mean() == pytest.approx(-0.4, abs=0.02)
        assert rest.std() == pytest.approx(1.2, abs=0.02)

    def test_the_first_level_is_seen_as_the_sampler_starts(self) -> None:
        denoiser = Denoiser(DenoiserConfig(inner_model=INNER))
        seen: list[Tensor] = []
        denoiser.inner_model.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        segment = Segment(
            torch.full((64, 5, 3, 8, 8), 0.9), torch.zeros(64, 5).long(), torch.ones(64, 5, dtype=torch.bool)
        )
        for first_share in (1.0, 0.0):
            levels = SamplerLevels(SamplerConfig(num_steps_denoising=2), first_share, 1.0 - first_share)
            noise = torch.Generator().manual_seed(0)
            denoiser_loss(denoiser, segment, levels, lambda shape, g=noise: torch.randn(shape, generator=g))
        start, later = seen
        c_in = denoiser.conditioners(torch.tensor([5.0])).c_in
        assert float((start / c_in).mean()) == pytest.approx(0.0, abs=0.03)
        assert float((start / c_in).std()) == pytest.approx(1.0, abs=0.03)
        assert float(later.mean()) > 1.0

    def test_errors_are_told_and_do_not_count_outside(self) -> None:
        denoiser = Denoiser(DenoiserConfig(inner_model=INNER))
        obs = torch.zeros(2, 5, 3, 32, 32)
        obs[0, 3, :, 4, 4] = 1.0
        counts = torch.zeros(2, 1, 32, 32)
        counts[..., 16:] = 1.0
        told: list[Tensor] = []
        for where in (None, counts):
            segment = Segment(obs, torch.zeros(2, 5).long(), torch.ones(2, 5, dtype=torch.bool), counts=where)
            denoiser_loss(
                denoiser, segment, SigmaDistribution(), Noise(), errors=lambda step, sigma, errors: told.append(errors)
            )
        assert told[0][0] > 0
        assert told[0][1] == told[1][0] == told[1][1] == 0

    def test_dreams_go_on_from_what_is_predicted_where_errors_count_and_from_real_frames_elsewhere(self) -> None:
        denoiser = Denoiser(DenoiserConfig(inner_model=INNER))
        contexts: list[Tensor] = []
        denoiser.inner_model.register_forward_pre_hook(lambda module, inputs: contexts.append(inputs[3]))
        obs = torch.rand(2, 6, 3, 32, 32) * 2 - 1
        counts = torch.zeros(2, 1, 32, 32)
        counts[..., 16:] = 1.0
        segment = Segment(obs, torch.zeros(2, 6).long(), torch.ones(2, 6, dtype=torch.bool), counts=counts)
        denoiser_loss(denoiser, segment, SigmaDistribution(), Noise())
        newest = contexts[1][:, -3:] * denoiser.cfg.sigma_data
        torch.testing.assert_close(newest[..., :16], obs[:, 4, ..., :16])
        assert not torch.isclose(newest[..., 16:], obs[:, 4, ..., 16:], atol=1e-3).all(dim=(1, 2)).any()

    def test_errors_of_the_context_are_bounded_and_small_ones_stay(self) -> None:
        denoiser = Denoiser(DenoiserConfig(inner_model=INNER))
        contexts: list[Tensor] = []
        denoiser.inner_model.register_forward_pre_hook(lambda module, inputs: contexts.append(inputs[3]))
        obs = torch.rand(2, 6, 3, 8, 8) * 2 - 1
        segment = Segment(obs, torch.zeros(2, 6).long(), torch.ones(2, 6, dtype=torch.bool))
        for bound in (0.0, 0.5):
            denoiser_loss(denoiser, segment, SigmaDistribution(), Noise(), context_error=bound)
        as_drawn, bounded = (contexts[i][:, -3:] * denoiser.cfg.sigma_data - obs[:, 4] for i in (1, 3))
        assert as_drawn.abs().max() > 0.6
        torch.testing.assert_close(bounded, as_drawn.clamp(-0.5, 0.5))

    def test_offset_noise_shifts_whole_channels(self) -> None:
        x = torch.zeros(2, 3, 32, 32)
        shifted = add_noise(x, torch.zeros(2), 0.3, Noise())
        torch.testing.assert_close(shifted, 0.3 * Noise()((2, 3, 1, 1)).expand_as(x))

    def test_loss_ignores_what_is_masked(self) -> None:
        torch.manual_seed(0)
        denoiser = Denoiser(DenoiserConfig(inner_model=INNER))
        obs, act = torch.rand(3, 6, 3, 8, 8) * 2 - 1, torch.zeros(3, 6).long()
        mask = torch.ones(3, 6, dtype=torch.bool)
        mask[0, 4:] = mask[1, 5] = False
        changed = obs.clone()
        changed[0, 4:] = 0
        changed[1, 5] = 0

        def loss(frames: Tensor, kept: Tensor) -> Tensor:
            return denoiser_loss(denoiser, Segment(frames, act, kept), SigmaDistribution(), Noise())

        torch.testing.assert_close(loss(obs, mask), loss(changed, mask))
        assert loss(obs, torch.ones_like(mask)) != loss(changed, torch.ones_like(mask))
        assert loss(obs, torch.zeros_like(mask)) == 0

    def test_motion_counts_more_nearby_and_the_mean_stays(self) -> None:
        before, newest = torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32)
        newest[0, 1, 10, 20] = 1.0
        newest[1, 1, 10, 20] = 0.05
        weights = motion_weights(before, newest, 9.0)
        assert weights.shape == (2, 1, 32, 32)
        torch.testing.assert_close(weights.mean(dim=(1, 2, 3)), torch.ones(2))
        near = weights[0, 0] > 1
        assert near[4:17, 14:27].all()
        assert near.sum() == 169
        torch.testing.assert_close(weights[0, 0, 10, 20] / weights[0, 0, 0, 0], torch.tensor(10.0))
        assert (weights[1] == 1).all()

    def test_motion_weight_leaves_the_loss_of_still_segments(self) -> None:
        torch.manual_seed(0)
        denoiser = Denoiser(DenoiserConfig(inner_model=INNER))
        nn.init.normal_(denoiser.inner_model.conv_out.weight)
        still = torch.rand(3, 1, 3, 8, 8).expand(3, 5, 3, 8, 8) * 2 - 1
        moving = still.clone()
        moving[:, 3, :, :1, :1] = 1.0

        def loss(frames: Tensor, weight: float) -> Tensor:
            segment = Segment(frames, torch.zeros(3, 5).long(), torch.ones(3, 5, dtype=torch.bool))
            return denoiser_loss(denoiser, segment, SigmaDistribution(), Noise(), weight)

        torch.testing.assert_close(loss(still, 30.0), loss(still, 0.0))
        assert loss(moving, 30.0) != loss(moving, 0.0)
