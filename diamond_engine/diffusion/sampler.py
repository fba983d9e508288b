"""The samplers: a pure function of (denoise, noise source, schedule).

EDM's is Algorithm 2 of Karras et al. (2022), DDPM's is ancestral (Algorithm 2 of Ho et al., 2020).

Shapes: B batch, C channels, H height, W width, N context channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from diamond_engine.diffusion.ddpm import ddpm_schedule, initial_scale, posterior
from diamond_engine.diffusion.schedule import karras_schedule

EDM, DDPM = "edm", "ddpm"
DIFFUSIONS = (EDM, DDPM)
"""Kinds of diffusion: each has its own preconditioning and sampler."""
MAX_CHURN = math.sqrt(2) - 1

Noise = Callable[[tuple[int, ...]], Tensor]
"""Draws unit normal noise of a shape."""
Denoise = Callable[[Tensor, float, Tensor, "float | None"], Tensor]
"""D(x ``(B, C, H, W)``, σ, context ``(B, N, H, W)``, σ_cond or None) → ``(B, C, H, W)``."""


@dataclass(frozen=True)
class SamplerConfig:
    """Settings of a sampler; the defaults are the paper's for Atari (3 Euler steps).

    DDPM uses only the number of steps.
    """

    diffusion: str = EDM
    """``edm`` or ``ddpm``, as the denoiser was trained."""
    num_steps_denoising: int = 3
    """Denoising steps n."""
    sigma_min: float = 2e-3
    """Last noise level before 0."""
    sigma_max: float = 5.0
    """First noise level."""
    rho: float = 7.0
    """Curvature of the schedule."""
    order: int = 1
    """1: Euler (one network call a step); 2: Heun (two, one for the last step)."""
    s_churn: float = 0.0
    """Noise added per step, spread over the n steps; 0 is deterministic sampling."""
    s_tmin: float = 0.0
    """Churn only at σ of at least this."""
    s_tmax: float = math.inf
    """Churn only at σ of at most this."""
    s_noise: float = 1.0
    """Scale of churn noise."""
    s_cond: float = 0.0
    """Noise added to the context before every denoising step (CS:GO dynamics); it adds up over the steps."""

    def schedule(self) -> list[float]:
        """The n + 1 noise levels, the last one 0."""
        if self.diffusion == DDPM:
            return ddpm_schedule(self.num_steps_denoising)
        return karras_schedule(self.num_steps_denoising, self.sigma_min, self.sigma_max, self.rho)

    def churn(self, sigma: float) -> float:
        """γ at noise level σ: the relative increase of the level before the step."""
        return min(self.s_churn / self.num_steps_denoising, MAX_CHURN) if self.s_tmin <= sigma <= self.s_tmax else 0.0

    @property
    def network_calls(self) -> int:
        """Denoiser calls for one frame."""
        return self.num_steps_denoising * self.order - (self.order - 1)


def sample(
    denoise: Denoise,
    noise: Noise,
    shape: tuple[int, ...],
    context: Tensor,
    cfg: SamplerConfig,
    on_step: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Draws images of ``shape`` ``(B, C, H, W)`` given ``context`` ``(B, N, H, W)``, values in [-1, 1].

    ``on_step`` is called with the start and the result of every step. The start is a unit normal draw, deliberately not
    scaled by sigma_max: this drifts less. Noise levels are Python numbers, so nothing here waits for the device.
    """
    if cfg.diffusion == DDPM:
        return _sample_ancestrally(denoise, noise, shape, context, cfg.schedule(), on_step)
    x = noise(shape)
    if on_step is not None:
        on_step(x)
    sigma_cond = cfg.s_cond if cfg.s_cond > 0 else None
    for sigma, sigma_next in pairwise(cfg.schedule()):
        if sigma_cond is not None:
            context = _noised_context(context, noise, sigma_cond)
        gamma = cfg.churn(sigma)
        sigma_hat = sigma * (1 + gamma)
        if gamma > 0:
            x = x + noise(shape) * (cfg.s_noise * math.sqrt(sigma_hat**2 - sigma**2))
        slope = (x - denoise(x, sigma, context, sigma_cond)) / sigma_hat
        step = sigma_next - sigma_hat
        if cfg.order == 2 and sigma_next > 0:
            ahead = x + slope * step
            slope = (slope + (ahead - denoise(ahead, sigma_next, context, sigma_cond)) / sigma_next) / 2
        x = x + slope * step
        if on_step is not None:
            on_step(x)
    return x


def _sample_ancestrally(
    denoise: Denoise,
    noise: Noise,
    shape: tuple[int, ...],
    context: Tensor,
    schedule: list[float],
    on_step: Callable[[Tensor], None] | None,
) -> Tensor:
    """Algorithm 2 of Ho et al. (2020) over a subset of the steps; D clips x_0 to its range, as their code does."""
    x = noise(shape) * initial_scale(schedule[0])
    if on_step is not None:
        on_step(x)
    for sigma, sigma_next in pairwise(schedule):
        x_0 = denoise(x, sigma, context, None)
        r, deviation = posterior(sigma, sigma_next)
        x = x_0 if sigma_next == 0 else x_0 + r * (x - x_0) + deviation * noise(shape)
        if on_step is not None:
            on_step(x)
    return x


def _noised_context(context: Tensor, noise: Noise, s_cond: float) -> Tensor:
    b, n = context.shape[:2]
    noise((b, n, 1, 1))  # the published sampler draws an offset here and multiplies it by 0: keep the draw order
    return context + s_cond * noise(tuple(context.shape))
