"""DDPM (Ho et al., 2020), which the paper compares with EDM (Section 5.1): its noise schedule and sampling.

Everything is written in EDM's terms, so that network, loss, context and sampling loop are the same for both. DDPM's
x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε is, divided by √ᾱ_t, a frame with noise of level σ_t = √((1−ᾱ_t)/ᾱ_t), and predicting ε is
a choice of preconditioning: c_in = √ᾱ_t, c_skip = 1, c_out = −σ_t (Table 1 of Karras et al., 2022, "VP").

Shapes: B batch.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

from diamond_engine.diffusion.quantile import quantile_of

STEPS = 1000
"""Steps T of the process (Section 4 of Ho et al.)."""
BETA_FIRST, BETA_LAST = 1e-4, 0.02
"""The variances β_t rise linearly between these (Section 4 of Ho et al.)."""


def _noise_levels() -> list[float]:
    alphas = [1 - BETA_FIRST - (BETA_LAST - BETA_FIRST) * i / (STEPS - 1) for i in range(STEPS)]
    return [math.sqrt((1 - alpha_bar) / alpha_bar) for alpha_bar in accumulate(alphas, operator.mul)]


NOISE_LEVELS = tuple(_noise_levels())
"""σ_t for t = 1 … T, from about 0.01 to about 157."""


def ddpm_schedule(num_steps: int) -> list[float]:
    """``num_steps`` of the T noise levels, evenly spaced in t from the last one down, then 0."""
    return [*(NOISE_LEVELS[round(STEPS * k / num_steps) - 1] for k in range(num_steps, 0, -1)), 0.0]


@dataclass(frozen=True)
class UniformSteps:
    """Training noise levels: all steps t are equally likely (Algorithm 1 of Ho et al.)."""

    def from_normal(self, z: Tensor) -> Tensor:
        """Unit normal draws ``(B,)`` → noise levels ``(B,)``."""
        step = (quantile_of(z) * STEPS).long().clamp(max=STEPS - 1)
        return z.new_tensor(NOISE_LEVELS)[step]


def initial_scale(sigma: float) -> float:
    """The factor that makes a unit normal x_T the start at level σ_T: 1/√ᾱ_T."""
    return math.sqrt(1 + sigma**2)


def posterior(sigma: float, sigma_next: float) -> tuple[float, float]:
    """The distribution of the frame at σ_next given that at σ and x_0 (Equations 6 and 7 of Ho et al., any two steps).

    Returns r and s of the normal distribution with mean x_0 + r·(x − x_0) and standard deviation s.
    """
    r = (sigma_next / sigma) ** 2
    return r, sigma_next * math.sqrt(1 - r)
