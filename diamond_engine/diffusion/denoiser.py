"""EDM preconditioning, the denoiser D_θ and its training loss (Section 3.1, Equations 5 to 8 of the paper).

With another preconditioning and noise schedule it is DDPM (Section 5.1; see ``diamond_engine.diffusion.ddpm``).

Shapes: B batch, T time, L context length, C channels, H height, W width, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diamond_engine.diffusion.levels import NoiseLevels, SamplerLevels
from diamond_engine.diffusion.sampler import DDPM, EDM, Denoise, Noise
from diamond_engine.networks.denoiser import InnerModel, InnerModelConfig

MOTION_THRESHOLD = 2 * 16 / 255
MOTION_REACH = 6
LEAST_COUNT = 1e-6
"""Keeps the loss at 0, not undefined, if all frames are masked."""


@dataclass(frozen=True)
class DenoiserConfig:
    """A denoiser: its network and how it is preconditioned."""

    inner_model: InnerModelConfig
    """Architecture of F_θ."""
    sigma_data: float = 0.5
    """Standard deviation of the data σ_data."""
    sigma_offset_noise: float = 0.3
    """Scale of the offset noise: one draw per sample and channel."""
    noise_previous_obs: bool = False
    """Whether training adds noise to the context frames (CS:GO dynamics)."""
    upsampling_factor: int | None = None
    """For an upsampler: the size of its images over that of the low-resolution ones it is conditioned on."""
    about_newest: bool = False
    """Whether the network predicts the difference from the newest context frame: a still background is right from the
    first update on. Not in the paper."""
    diffusion: str = EDM
    """What F_θ predicts: ``edm``, a mixture of frame and noise by level, or ``ddpm``, the noise (without offset)."""


@dataclass(frozen=True)
class Conditioners:
    """Coefficients of the preconditioning, each ``(B, 1, 1, 1)`` but c_noise ``(B,)``."""

    c_in: Tensor
    c_out: Tensor
    c_skip: Tensor
    c_noise: Tensor


@dataclass(frozen=True)
class Segment:
    """A batch of training segments."""

    obs: Tensor
    """Frames, float ``(B, T, C, H, W)`` in [-1, 1]."""
    act: Tensor | None
    """The action taken at each frame, int64 ``(B, T)`` or multi-hot ``(B, T, A)``."""
    mask: Tensor
    """False where a frame is padding before the start or after the end of an episode, bool ``(B, T)``."""
    mean_count: Tensor | None = None
    """Number of unmasked frames ``(T,)`` to divide by, if the segments are a part of a batch; None: count them."""
    low_res: Tensor | None = None
    """For an upsampler: the low-resolution frames, float ``(B, T, C, H/k, W/k)``."""
    counts: Tensor | None = None
    """Pixels whose errors count, ``(B, 1, H, W)``, 0 or 1; None: all. Elsewhere the context has only real frames."""


Errors = Callable[[int, Tensor, Tensor], None]
"""Called with the number of frames predicted before, the noise levels ``(B,)`` and the summed square errors near motion
``(B,)``."""


Weigh = Callable[[Tensor, Tensor], Tensor]
"""Weights ``(B,)`` of the mean square errors ``(B,)`` at noise levels ``(B,)``."""


class Denoiser(nn.Module):
    """D_θ: maps a noisy frame and its context to the clean frame."""

    def __init__(self, cfg: DenoiserConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.inner_model = InnerModel(cfg.inner_model)

    def conditioners(self, sigma: Tensor) -> Conditioners:
        """Coefficients for noise levels σ ``(B,)``, EDM's with the offset noise counted in (Equation 6, Appendix C)."""
        if self.cfg.diffusion == DDPM:
            return _predicting_noise(sigma)
        sigma = (sigma**2 + self.cfg.sigma_offset_noise**2).sqrt()
        data_variance = self.cfg.sigma_data**2
        total_variance = sigma**2 + data_variance
        c_skip = data_variance / total_variance
        image = (-1, 1, 1, 1)
        return Conditioners(
            c_in=total_variance.rsqrt().reshape(image),
            c_out=(sigma * c_skip.sqrt()).reshape(image),
            c_skip=c_skip.reshape(image),
            c_noise=sigma.log() / 4,
        )

    def network_output(
        self, noisy: Tensor, c: Conditioners, context: Tensor, act: Tensor | None, sigma_cond: Tensor | None
    ) -> Tensor:
        """F_θ in float32: noisy ``(B, C, H, W)``, context ``(B, L·C, H, W)``, sigma_cond ``(B,)`` → like noisy.

        ``about_newest``: EDM's preconditioning of x - n, where n is the newest frame. The middle term of D = c_skip·x +
        (1 - c_skip)·n + c_out·F is returned as a part of the output, since 1 - c_skip = c_out² / σ_data².
        """
        c_noise_cond = None if sigma_cond is None else sigma_cond.log() / 4
        if not self.cfg.about_newest:
            return self.inner_model(noisy * c.c_in, c.c_noise, c_noise_cond, context / self.cfg.sigma_data, act).float()
        newest, others = apart(context, self.cfg.inner_model)
        noisy = (noisy - newest) * c.c_in
        output = self.inner_model(noisy, c.c_noise, c_noise_cond, others / self.cfg.sigma_data, act).float()
        return output + c.c_out / self.cfg.sigma_data**2 * newest

    def forward(
        self, noisy: Tensor, sigma: Tensor, context: Tensor, act: Tensor | None, sigma_cond: Tensor | None = None
    ) -> Tensor:
        """D = c_skip·x + c_out·F, clipped and quantised to 8 bits.

        noisy ``(B, C, H, W)``, sigma ``(B,)``, context ``(B, L·C, H, W)`` oldest first, act ``(B, L)`` or
        ``(B, L, A)``, sigma_cond ``(B,)`` or None → ``(B, C, H, W)`` on the grid of 256 values in [-1, 1].
        """
        c = self.conditioners(sigma)
        return self.wrap(noisy, self.network_output(noisy, c, context, act, sigma_cond), c)

    def given_actions(self, act: Tensor | None) -> Denoise:
        """The function that the sampler calls, for given actions ``(B, L)`` or ``(B, L, A)`` (None: no actions)."""

        def denoise(x: Tensor, sigma: float, context: Tensor, sigma_cond: float | None) -> Tensor:
            level = x.new_full((len(x),), sigma)
            return self(x, level, context, act, None if sigma_cond is None else torch.full_like(level, sigma_cond))

        return denoise

    def wrap(self, noisy: Tensor, output: Tensor, c: Conditioners) -> Tensor:
        """See ``wrap``."""
        return wrap(noisy, output, c, nearest=self.cfg.about_newest)


@torch.no_grad()
def wrap(noisy: Tensor, output: Tensor, c: Conditioners, nearest: bool = False) -> Tensor:
    """Combines network output and noisy frame; clips, and truncates to 8 bits. All ``(B, C, H, W)``.

    ``nearest`` rounds instead: with ``about_newest``, truncation would darken still pixels by one level a frame.
    """
    levels = (c.c_skip * noisy + c.c_out * output).clamp(-1, 1).add(1).div(2).mul(255)
    return (levels.round() if nearest else levels.floor()).div(255).mul(2).sub(1)


def apart(context: Tensor, inner: InnerModelConfig) -> tuple[Tensor, Tensor]:
    """Splits off the newest frame of a context; the older frames become differences from it.

    ``(B, N, H, W)`` → ``(B, C, H, W)``, ``(B, N, H, W)``; channels after the frames (of an upsampler) are kept.
    """
    stop = inner.num_steps_conditioning * inner.img_channels
    older, newest, beyond = context.tensor_split((stop - inner.img_channels, stop), dim=1)
    return newest, torch.cat((older - newest.repeat(1, inner.num_steps_conditioning - 1, 1, 1), newest, beyond), dim=1)


def _predicting_noise(sigma: Tensor) -> Conditioners:
    """DDPM's coefficients for noise levels ``(B,)``: F_θ predicts ε; c_noise is EDM's."""
    image = sigma.reshape(-1, 1, 1, 1)
    return Conditioners(
        c_in=(1 + image**2).rsqrt(), c_out=-image, c_skip=torch.ones_like(image), c_noise=sigma.log() / 4
    )


def enlarge(low_res: Tensor, factor: int) -> Tensor:
    """Bicubic enlargement, not clipped: ``(B, C, H, W)`` → ``(B, C, kH, kW)``."""
    return F.interpolate(low_res, scale_factor=float(factor), mode="bicubic", align_corners=False)


def add_noise(x: Tensor, sigma: Tensor, offset_scale: float, noise: Noise) -> Tensor:
    """x + offset noise + σ·noise: x ``(B, C, H, W)``, σ ``(B,)``. Draws the offset first."""
    offset = noise((*x.shape[:2], 1, 1))
    pixels = noise(tuple(x.shape))
    return x + offset_scale * offset + sigma.reshape(-1, 1, 1, 1) * pixels


def denoiser_loss(
    denoiser: Denoiser,
    segment: Segment,
    distribution: NoiseLevels,
    noise: Noise,
    motion_weight: float = 0.0,
    context_distribution: NoiseLevels | None = None,
    errors: Errors | None = None,
    weigh: Weigh | None = None,
    context_error: float = 0.0,
) -> Tensor:
    """Mean squared error between F_θ and its target (Equation 8; DDPM's is the noise), over all frames after context.

    The first L frames are context. Each further frame is predicted in turn, and D's prediction takes its place in the
    context of the following ones, so that the model learns to recover from its own errors. With ``motion_weight`` the
    square errors are weighted by ``motion_weights`` (not in the paper). ``context_distribution``: noise levels of the
    context, where they are not those of the frame to predict (not in the paper). ``weigh``: weights of the noise
    levels (not in the paper). ``context_error`` > 0: largest error of a drawn pixel in the context of the next frames,
    so that what is drawn wrong stays fainter there than what is real (not in the paper). At the first level of
    ``SamplerLevels`` the network sees what the sampler starts with, not the noisy frame. Returns a scalar.
    """
    cfg = denoiser.cfg
    length = cfg.inner_model.num_steps_conditioning
    b, t = segment.obs.shape[:2]
    frames = list(segment.obs.unbind(1))
    losses: list[Tensor] = []
    for i in range(length, t):
        target_frame = frames[i]
        past = frames[i - length : i]
        act = None if segment.act is None or cfg.inner_model.num_actions is None else segment.act[:, i - length : i]
        context = torch.cat(past, dim=1)
        sigma_cond = None
        if cfg.noise_previous_obs:
            sigma_cond = (context_distribution or distribution).from_normal(noise((b,)))
            context = add_noise(context, sigma_cond, cfg.sigma_offset_noise, noise)
        if segment.low_res is not None and cfg.upsampling_factor is not None:
            context = torch.cat((context, enlarge(segment.low_res[:, i], cfg.upsampling_factor)), dim=1)
        sigma = distribution.from_normal(noise((b,)))
        noisy = add_noise(target_frame, sigma, cfg.sigma_offset_noise, noise)
        if isinstance(distribution, SamplerLevels):
            noisy = torch.where(distribution.is_first(sigma).reshape(-1, 1, 1, 1), noise(tuple(noisy.shape)), noisy)
        c = denoiser.conditioners(sigma)
        output = denoiser.network_output(noisy, c, context, act, sigma_cond)
        target = (target_frame - c.c_skip * noisy) / c.c_out
        square_error = (output - target).square()
        if segment.counts is not None:
            square_error = square_error * segment.counts
        if errors is not None:
            errors(i - length, sigma, (square_error.detach() * near_motion(past[-2], past[-1])).flatten(1).sum(1))
        if motion_weight > 0:
            square_error = square_error * motion_weights(past[-2], past[-1], motion_weight)
        loss = square_error.flatten(1).mean(1) * segment.mask[:, i]
        if weigh is not None:
            loss = loss * weigh(sigma, loss)
        count = segment.mask[:, i].sum() if segment.mean_count is None else segment.mean_count[i]
        losses.append(loss.sum() / count.clamp(min=LEAST_COUNT))
        if i + 1 < t:
            drawn = denoiser.wrap(noisy, output, c)
            if context_error > 0:
                drawn = target_frame + (drawn - target_frame).clamp(-context_error, context_error)
            frames[i] = drawn if segment.counts is None else torch.where(segment.counts > 0, drawn, target_frame)
    return torch.stack(losses).mean()


def motion_weights(before: Tensor, newest: Tensor, weight: float) -> Tensor:
    """Weights of mean 1 that make pixels near recent motion count ``1 + weight`` times as much as the others.

    They depend only on the context, so that the minimiser of the loss stays the posterior mean and only the gradient
    noise from the still background shrinks. before, newest ``(B, C, H, W)`` → ``(B, 1, H, W)``.
    """
    weights = 1 + weight * near_motion(before, newest)
    return weights / weights.mean(dim=(1, 2, 3), keepdim=True)


def near_motion(before: Tensor, newest: Tensor) -> Tensor:
    """1 near pixels that changed between two frames ``(B, C, H, W)``, 0 elsewhere: ``(B, 1, H, W)``."""
    moved = (newest - before).abs().amax(dim=1, keepdim=True) > MOTION_THRESHOLD
    return F.max_pool2d(moved.float(), 2 * MOTION_REACH + 1, stride=1, padding=MOTION_REACH)
