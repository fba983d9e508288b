"""Draws from episodes: segments to learn from, and start contexts of dreams.

Shapes: N contexts, L context length, S steps of a segment, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from diamond_engine.contexts import StartContexts
from diamond_engine.episodes import EpisodeFolder, SegmentBatch, SegmentSampler
from diamond_engine.errors import DiamondError
from training.data.priorities import Priorities

REFRESH_EVERY = 100
EVERY_STEP_ALIKE = (1.0,)
"""Age weights for static episodes; the paper's favour the newest ones of an improving agent."""


class SegmentStream:
    """An endless, resumable stream of segment batches from a folder that may grow."""

    def __init__(
        self,
        folder: EpisodeFolder,
        length: int,
        seed: int,
        *,
        age_weights: Sequence[float],
        beyond_end: bool = False,
        event_share: float = 0.0,
        before_start: bool = True,
        priorities: Priorities | None = None,
        priority_share: float = 0.0,
        on_growth: Callable[[str], None] | None = None,
    ) -> None:
        """Draws segments of ``length`` steps S. ``on_growth`` gets a line to print when new episodes are found.

        Without it, new episodes are not looked for.
        """
        self._folder = folder
        self._priorities = priorities
        preferred = None if priorities is None else priorities.draw
        self._sampler = SegmentSampler(
            folder, length, age_weights, beyond_end, event_share, before_start, preferred, priority_share
        )
        self._rng = np.random.default_rng(seed)
        self._on_growth = on_growth
        self._drawn = 0

    def draw(self, batch_size: int, device: torch.device) -> SegmentBatch:
        """The next batch, on ``device``; looks for new episodes every 100 batches."""
        return next(self.draw_parts(batch_size, [slice(None)], device))

    def draw_parts(self, batch_size: int, parts: Sequence[slice], device: torch.device) -> Iterator[SegmentBatch]:
        """Yields parts of the next batch; the other segments are not read."""
        self._drawn += 1
        if self._drawn % REFRESH_EVERY == 0 and self._on_growth is not None:
            self._refresh(self._on_growth)
        before = self._rng.bit_generator.state
        for part in parts:
            self._rng.bit_generator.state = before
            yield self._sampler.draw(self._rng, batch_size, device, part)

    def unknown(self, count: int, device: torch.device) -> SegmentBatch | None:
        """Up to ``count`` segments whose error is not known to the priorities; None if there are none."""
        places = [] if self._priorities is None or count == 0 else self._priorities.unknown(count).tolist()
        return self._sampler.read([(index, start) for index, start in places], slice(None), device) if places else None

    def _refresh(self, on_growth: Callable[[str], None]) -> None:
        before = len(self._folder)
        self._folder.refresh()
        if len(self._folder) > before:
            new = len(self._folder) - before
            on_growth(f"found {new} new episodes: now {len(self._folder)} of {self._folder.num_steps} steps")

    def state_dict(self) -> dict[str, Any]:
        """The random state."""
        return dict(self._rng.bit_generator.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self._rng.bit_generator.state = state


class EpisodeContexts:
    """A ``ContextSource`` of L frames from inside real episodes, each from another episode if there are enough."""

    def __init__(self, folder: EpisodeFolder, length: int, seed: int, steps_left: int = 1) -> None:
        """``steps_left``: least number of steps of the episode after the context.

        Raises ``DiamondError`` if no episode is long enough.
        """
        self._folder = folder
        self._length = length
        self._steps_left = steps_left
        self._rng = np.random.default_rng(seed)
        self._weights()

    def draw(self, count: int) -> StartContexts:
        """Draws ``count`` contexts: frames uint8 ``(N, L, H, W, 3)`` and the actions between them ``(N, L-1)``."""
        weights = self._weights()
        repeat = count > int(np.count_nonzero(weights))
        chosen = self._rng.choice(len(weights), size=count, replace=repeat, p=weights / weights.sum())
        frames, actions = [], []
        for index in chosen:
            episode = self._folder[index]
            start = int(self._rng.integers(weights[index]))
            frames.append(episode.frames[start : start + self._length])
            actions.append(episode.actions[start : start + self._length - 1])
        return StartContexts(np.stack(frames), np.stack(actions))

    def _weights(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Number of places where a context can start, for every episode."""
        places = np.maximum(0, self._folder.lengths - (self._length - 1) - self._steps_left + 1)
        if not places.any():
            needed = self._length - 1 + self._steps_left
            raise DiamondError(f"no episode in {self._folder.folder} has {needed} steps: collect longer ones")
        return places
