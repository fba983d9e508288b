"""Distributions of training noise levels.

Shapes: B batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from diamond_engine.diffusion.quantile import quantile_of
from diamond_engine.diffusion.sampler import SamplerConfig


class NoiseLevels(Protocol):
    """A distribution of training noise levels."""

    def from_normal(self, z: Tensor) -> Tensor:
        """Unit normal draws ``(B,)`` → noise levels ``(B,)``."""
        ...


@dataclass(frozen=True)
class SigmaDistribution:
    """Training noise levels: ln σ ~ N(loc, scale²), clipped to [sigma_min, sigma_max]. Defaults: the paper, Atari."""

    loc: float = -0.4
    """Mean of ln σ."""
    scale: float = 1.2
    """Standard deviation of ln σ."""
    sigma_min: float = 2e-3
    """Smallest σ."""
    sigma_max: float = 20.0
    """Largest σ."""

    def from_normal(self, z: Tensor) -> Tensor:
        """Unit normal draws ``(B,)`` → noise levels ``(B,)``."""
        return (z * self.scale + self.loc).exp().clamp(self.sigma_min, self.sigma_max)


@dataclass(frozen=True)
class SamplerLevels:
    """The sampler's own levels for a share of the draws, another distribution for the rest. Not in the paper."""

    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """The sampler: its first level, which decides the frame, and its further levels."""
    first_share: float = 0.6
    """Share of the draws at the sampler's first level."""
    later_share: float = 0.2
    """Share of the draws at the sampler's further levels, all equally likely."""
    rest: SigmaDistribution = field(default_factory=SigmaDistribution)
    """Distribution of the other draws."""

    def from_normal(self, z: Tensor) -> Tensor:
        """Unit normal draws ``(B,)`` → noise levels ``(B,)``."""
        first, *later = self.sampler.schedule()[:-1]
        quantile = quantile_of(z)
        shares = [self.first_share, *(self.later_share / len(later) for _ in later)]
        bounds = torch.tensor(shares, dtype=quantile.dtype, device=z.device).cumsum(0)
        beyond = ((quantile - bounds[-1]) / (1 - bounds[-1]).clamp(min=1e-9)).clamp(1e-6, 1 - 1e-6)
        others = self.rest.from_normal((math.sqrt(2) * torch.erfinv(2 * beyond - 1)).to(z.dtype))
        levels = torch.tensor([first, *later], dtype=z.dtype, device=z.device)
        which = torch.searchsorted(bounds, quantile, right=True)
        return torch.where(which < len(levels), levels[which.clamp(max=len(levels) - 1)], others)

    def is_first(self, sigma: Tensor) -> Tensor:
        """Where levels ``(B,)`` are the sampler's first one, bool ``(B,)``."""
        return sigma == torch.tensor(self.sampler.sigma_max, dtype=sigma.dtype)


def sampler_levels(
    share: float, first_share: float, rest: SigmaDistribution, sampler: SamplerConfig | None = None
) -> NoiseLevels:
    """Levels of a sampler (None: the paper's) for a share of the draws, ``first_share`` of these at its first level.

    The other draws come from ``rest``."""
    if share == 0:
        return rest
    return SamplerLevels(sampler or SamplerConfig(), first_share * share, (1 - first_share) * share, rest)
