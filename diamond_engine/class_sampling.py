"""Samples one of a few classes from a network's logits."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_class(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Samples a class for every row by softmax: ``(B, K)`` → int64 ``(B,)``.

    Draws the same classes as ``torch.multinomial``, but does not wait for the device: that one checks on the host
    whether the probabilities are valid.
    """
    chances = logits.float().softmax(dim=1)
    return (chances / torch.empty_like(chances).exponential_(1, generator=generator)).argmax(dim=1)
