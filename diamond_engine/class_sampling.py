"""Drawing one of a few classes from what a network says."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_class(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """A class for every row, by softmax: ``(B, K)`` → int64 ``(B,)``.

    Draws what ``torch.multinomial`` draws, which asks the host whether the chances are valid: a GPU would wait for it.
    """
    chances = logits.float().softmax(dim=1)
    return (chances / torch.empty_like(chances).exponential_(1, generator=generator)).argmax(dim=1)
