"""Prioritised sampling of segments by the model's errors (prioritised replay, Schaul et al., 2016).

Shapes: B segments, N frames of all episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine.diffusion import SamplerLevels
from diamond_engine.diffusion.levels import NoiseLevels

EXPONENT = 1.0
"""α of prioritised replay: the exponent of an error in the probability of its frame."""
FORGETTING = 0.3
"""Step of an error toward a smaller newer one: a crop may not have shown all of the frame."""


class Episodes(Protocol):
    """A source of frames to predict: an ``EpisodeFolder``, or recordings."""

    @property
    def paths(self) -> Sequence[Path]:
        """Their files."""
        ...

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Their steps: one less than frames."""
        ...


class Priorities:
    """The newest known prediction error of every frame; new frames count as the mean."""

    def __init__(self, folder: Episodes, context_length: int, predicted: int = 1, *, before_start: bool = True) -> None:
        """``predicted``: number of frames of a segment after its context. Without ``before_start`` no context is
        padded, and frames that have less than a whole one before them are not drawn."""
        self._folder = folder
        self._before_start = before_start
        self._context_length = context_length
        self._predicted = predicted
        self._errors: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._first: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        self._paths: list[str] = []
        self._followed: tuple[Sequence[Path] | None, int] = (None, 0)
        self._number()

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Episode index and first step of ``count`` segments ``(B, 2)``, by the error of any of the predicted frames.

        The first step may lie before the episode's start.
        """
        self._follow_folder()
        seen = ~np.isnan(self._errors)
        mean = self._errors[seen].mean() if seen.any() else 1.0
        weights = np.where(seen, self._errors, mean).astype(np.float64) ** EXPONENT + 1e-9
        if not self._before_start and (self._steps >= self._context_length).any():
            weights *= self._steps >= self._context_length
        cumulative = weights.cumsum()
        frames = np.searchsorted(cumulative[:-1], rng.random(count) * cumulative[-1], side="right")
        episodes = np.searchsorted(self._first, frames, side="right") - 1
        before = 0 if self._predicted == 1 else rng.integers(self._predicted, size=count)
        return np.stack((episodes, frames - self._first[episodes] - self._context_length - before), axis=1)

    def unknown(self, count: int) -> NDArray[np.int64]:
        """Segments whose predicted frame has no known error: episode index and first step, ``(K, 2)``, K ≤ ``count``.

        Spread evenly over all that are left. Frames without a whole context before them are left out.
        """
        self._follow_folder()
        unknown = np.flatnonzero(np.isnan(self._errors))
        episodes = np.searchsorted(self._first, unknown, side="right") - 1
        starts = self._steps[unknown] - self._context_length
        whole = np.flatnonzero(starts >= 0)
        chosen = whole[np.linspace(0, max(0, len(whole) - 1), min(count, len(whole))).astype(np.int64)]
        return np.stack((episodes[chosen], starts[chosen]), axis=1)

    def note(self, levels: NoiseLevels, places: NDArray[np.int64], step: int, sigma: Tensor, errors: Tensor) -> None:
        """Notes the errors ``(B,)`` of the frames predicted after ``step`` others in the segments at ``places``
        ``(B, 2)``. Only errors at the sampler's first noise level count, which decides what a frame shows.
        ``levels`` must be ``SamplerLevels``."""
        assert isinstance(levels, SamplerLevels)
        first = levels.is_first(sigma).cpu().numpy()
        self.update(places[: len(first)][first] + np.array([0, step]), errors.float().cpu().numpy()[first])

    def update(self, places: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Notes the errors ``(B,)`` of the first predicted frames of the segments at places ``(B, 2)``.

        Padding (before an episode's start or in one shorter than a context) is skipped.
        """
        self._follow_folder()
        steps = places[:, 1] + self._context_length
        inside = (steps >= 0) & (steps <= self._folder.lengths[places[:, 0]])
        frames, errors = (self._first[places[:, 0]] + steps)[inside], errors[inside]
        old = self._errors[frames]
        sunk = old + FORGETTING * (errors - old)
        self._errors[frames] = np.where(np.isnan(old) | (errors > old), errors, sunk)

    def _follow_folder(self) -> None:
        """Moves the errors to their new places after episodes were added or deleted."""
        if self._folder.paths is self._followed[0] and len(self._folder.paths) == self._followed[1]:
            return  # names of many thousand files would take a tenth of a small network's update
        self._followed = (self._folder.paths, len(self._folder.paths))
        paths = [path.name for path in self._folder.paths]
        if paths == self._paths:
            return
        known = dict(zip(self._paths, np.split(self._errors, self._first[1:-1]), strict=True)) if self._paths else {}
        frames = self._folder.lengths + 1  # the final frame is predicted too
        unseen = (np.full(count, np.nan, dtype=np.float32) for count in frames)
        errors = [known.get(path, blank) for path, blank in zip(paths, unseen, strict=True)]
        self._paths, self._first = paths, np.concatenate(([0], frames.cumsum()))
        self._errors = np.concatenate(errors) if errors else np.zeros(0, dtype=np.float32)
        self._number()

    def _number(self) -> None:
        """The step of every frame in its episode."""
        self._steps = np.arange(self._first[-1]) - np.repeat(self._first[:-1], np.diff(self._first))

    def state_dict(self) -> dict[str, Any]:
        """The errors (NaN: unknown) and their episodes."""
        return {"paths": self._paths, "first": self._first.tolist(), "errors": torch.from_numpy(self._errors.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self._paths, self._errors = list(state["paths"]), state["errors"].numpy().copy()
        self._followed = (None, 0)
        self._first = np.asarray(state["first"], dtype=np.int64)
        self._number()
