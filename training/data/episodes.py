"""Episodes as training sees them: of one game, growing, and a source of segments and of contexts to dream from.

Shapes: N contexts, L context length, S steps of a segment, H height, W width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from diamond_engine.actions import AtariGame
from diamond_engine.damage import read_dataset
from diamond_engine.emulator import FRAME_SIZE
from diamond_engine.episodes import EpisodeFolder, SegmentBatch, SegmentSampler, open_episode
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.worlds import Spawns
from training.data.priorities import Priorities

REFRESH_EVERY = 100
CACHE_BYTES = 4 * 2**30
FRAME_BYTES = FRAME_SIZE * FRAME_SIZE * 3


class Source(NamedTuple):
    """Who played an episode, as its attributes say."""

    policy: str
    epsilon: float
    """Probability of a random action."""
    seed: int
    hold: float = 1.0
    """Steps for which a random action is held on average."""

    def __str__(self) -> str:
        held = f", held {self.hold:g} steps" if self.hold != 1 else ""
        return self.policy + (f", ε = {self.epsilon:g}" if self.epsilon else "") + held


UNKNOWN = Source("unknown", 0.0, 0)


class GameEpisodes:
    """A folder of one game's episodes, with who played them.

    Raises ``UsageError`` for a folder that is not there or empty (unless it may be) or of another game, and
    ``DiamondError`` naming a damaged file.
    """

    def __init__(self, folder: Path, game: AtariGame, *, may_be_empty: bool = False) -> None:
        if not folder.is_dir() and not may_be_empty:
            raise UsageError(f"no such folder of episodes: {folder} (collect some with 'diamond-train collect')")
        self.game = game
        self.episodes = EpisodeFolder(folder, CACHE_BYTES)
        if len(self.episodes) == 0 and not may_be_empty:
            raise UsageError(f"no episodes in {folder}: collect some with 'diamond-train collect {game.name}'")
        self._known = 0
        self._steps: Counter[Source] = Counter()
        self._take_notice()

    def _take_notice(self) -> None:
        for index in range(self._known, len(self.episodes)):
            path = self.episodes.paths[index]
            self._steps[_source(path, self.game)] += int(self.episodes.lengths[index])
        self._known = len(self.episodes)

    def steps_from(self, source: Source) -> int:
        """Steps in the folder that one source played."""
        self._take_notice()
        return self._steps[source]

    def facts(self) -> dict[str, Any]:
        """Episodes, steps, and steps by policy, for the provenance of what is trained on them."""
        self._take_notice()
        policies: Counter[str] = Counter()
        for source, steps in self._steps.items():
            policies[str(source)] += steps
        return {"episodes": len(self.episodes), "steps": self.episodes.num_steps, "policies": dict(policies)}

    @property
    def memory(self) -> int:
        """Bytes that the decoded frames take once all were seen."""
        return min(self.episodes.num_steps * FRAME_BYTES, CACHE_BYTES)


def _source(path: Path, game: AtariGame) -> Source:
    """Who played an episode. Raises ``UsageError`` for one of another game, ``DiamondError`` for an invalid one."""
    with open_episode(path) as file:
        played = str(file.attrs.get("game", "unknown"))
        policy, epsilon, seed, hold = (file.attrs.get(name, default) for name, default in UNKNOWN._asdict().items())
        actions, image = read_dataset(file["actions"]), file["final_frame"].shape
    if played != game.name:
        raise UsageError(f"{path} is an episode of {played}, not of {game.name}: use another folder")
    if not np.isin(actions, range(len(game.actions))).all() or image != (FRAME_SIZE, FRAME_SIZE, 3):
        raise DiamondError(
            f"{path} is no episode of {game.name}: it needs actions from 0 to {len(game.actions) - 1} and frames of "
            f"{FRAME_SIZE}x{FRAME_SIZE}, not {'x'.join(map(str, image[:2]))}"
        )
    try:
        return Source(str(policy), float(epsilon), int(seed), float(hold))
    except (TypeError, ValueError, OverflowError) as error:
        raise DiamondError(
            f"{path} says nonsense of who played it: epsilon {epsilon!r}, seed {seed!r}, hold {hold!r}"
        ) from error


class SegmentStream:
    """An endless, resumable stream of segment batches from a folder that may grow meanwhile."""

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
        """Segments of ``length`` steps S; ``on_growth`` gets a line to print when new episodes are found.

        Without it nobody looks for any.
        """
        self._folder = folder
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
        """Parts of the next batch, one after the other; the other segments are not read."""
        self._drawn += 1
        if self._drawn % REFRESH_EVERY == 0 and self._on_growth is not None:
            self._refresh(self._on_growth)
        before = self._rng.bit_generator.state
        for part in parts:
            self._rng.bit_generator.state = before
            yield self._sampler.draw(self._rng, batch_size, device, part)

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
    """Contexts of L frames from inside real episodes, each from another while they last: a ``ContextSource``."""

    def __init__(self, folder: EpisodeFolder, length: int, seed: int, steps_left: int = 1) -> None:
        """``steps_left``: the episode goes on for at least so many steps after the context.

        Raises ``DiamondError`` where no episode is long enough.
        """
        self._folder = folder
        self._length = length
        self._steps_left = steps_left
        self._rng = np.random.default_rng(seed)
        self._weights()

    def draw(self, count: int) -> Spawns:
        """``count`` contexts: frames uint8 ``(N, L, H, W, 3)`` and the actions between them ``(N, L-1)``."""
        weights = self._weights()
        repeat = count > int(np.count_nonzero(weights))
        chosen = self._rng.choice(len(weights), size=count, replace=repeat, p=weights / weights.sum())
        frames, actions = [], []
        for index in chosen:
            episode = self._folder[index]
            start = int(self._rng.integers(weights[index]))
            frames.append(episode.frames[start : start + self._length])
            actions.append(episode.actions[start : start + self._length - 1])
        return Spawns(np.stack(frames), np.stack(actions))

    def _weights(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Places where a context can start, for every episode."""
        places = np.maximum(0, self._folder.lengths - (self._length - 1) - self._steps_left + 1)
        if not places.any():
            needed = self._length - 1 + self._steps_left
            raise DiamondError(f"no episode in {self._folder.folder} has {needed} steps: collect longer ones")
        return places
