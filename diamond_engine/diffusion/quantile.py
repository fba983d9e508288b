"""Draws that are evenly spread, from the normal ones that noise is made of. Shapes: B batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

WITHOUT_FLOAT64 = ("mps",)
"""Types of devices that do not know it."""


def quantile_of(z: Tensor) -> Tensor:
    """How likely a unit normal draw is to be smaller, ``(B,)`` → ``(B,)``; in float64 where the device has it."""
    exact = z if z.device.type in WITHOUT_FLOAT64 else z.double()
    return (1 + torch.erf(exact / math.sqrt(2))) / 2
