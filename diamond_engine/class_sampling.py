"""Random numbers for a batch, from one source or from one for each row; one of a few classes from a network's logits.

Shapes: B rows, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Source = torch.Generator | Sequence[torch.Generator] | None
"""Of randomness: one for a batch, or one for each of its B rows; None: torch's."""


def normal(shape: tuple[int, ...], source: Source, device: torch.device) -> Tensor:
    """Normally distributed numbers ``shape``, of which the first is B. A row's own source gives what it gives alone."""
    return _drawn(lambda part, generator: torch.randn(part, generator=generator, device=device), shape, source)


def _drawn(
    draw: Callable[[tuple[int, ...], torch.Generator | None], Tensor], shape: tuple[int, ...], source: Source
) -> Tensor:
    if source is None or isinstance(source, torch.Generator):
        return draw(shape, source)
    if len(source) == 1:
        return draw(shape, source[0])
    return torch.cat([draw((1, *shape[1:]), generator) for generator in source])


def sample_class(logits: Tensor, source: Source) -> Tensor:
    """Samples a class for every row by softmax: ``(B, K)`` → int64 ``(B,)``.

    Draws the same classes as ``torch.multinomial``, but does not wait for the device: that one checks on the host
    whether the probabilities are valid.
    """
    chances = logits.float().softmax(dim=1)

    def exponential(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        return torch.empty(shape, device=chances.device).exponential_(1, generator=generator)

    return (chances / _drawn(exponential, tuple(chances.shape), source)).argmax(dim=1)
