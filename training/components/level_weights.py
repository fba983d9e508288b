"""Weights of the noise levels in the denoiser's loss, so that none dominates.

EDM2 (Karras et al., 2024) divides the loss at a level by a learned mean. Here it is a running mean in bins of ln σ.
Shapes: B batch, N bins.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

LOWEST = 1e-3
BIN_WIDTH = 0.5
BINS = 24
"""Bins of ln σ from ``LOWEST`` on; values outside go to the nearest bin."""
RATE = 0.01
"""Step of the running mean toward a new loss."""


class LevelWeights:
    """Divides losses by the running mean at their noise level. The level with the smallest mean has weight 1."""

    def __init__(self) -> None:
        self._means = torch.full((BINS,), torch.nan, dtype=torch.float64)

    def __call__(self, sigma: Tensor, losses: Tensor) -> Tensor:
        """Notes the losses ``(B,)`` at noise levels ``(B,)`` and returns their weights ``(B,)``, at most 1."""
        bins = ((sigma.cpu().double() / LOWEST).log() / BIN_WIDTH).long().clamp(0, BINS - 1)
        noted = losses.detach().cpu().double()
        count = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, torch.ones_like(noted))
        mean = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, noted) / count  # NaN without a loss
        old = torch.where(self._means.isnan(), mean, self._means)
        self._means = torch.where(count > 0, old + (1 - (1 - RATE) ** count) * (mean - old), self._means)
        known = self._means.nan_to_num(math.inf).clamp(min=1e-12)
        return (known.min() / known[bins]).to(losses)

    def state_dict(self) -> dict[str, Any]:
        """The means, NaN for levels not seen yet."""
        return {"means": self._means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self._means = state["means"].clone()
