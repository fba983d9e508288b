"""The training episodes of one game, and who played them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diamond_engine.damage import read_dataset
from diamond_engine.episodes import EpisodeFolder, open_episode
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import Game

CACHE_BYTES = 4 * 2**30


class Source(NamedTuple):
    """The source of an episode, from its attributes."""

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
    """A folder of one game's episodes with their sources; the frames may be of another size than the game's.

    Raises ``UsageError`` for a folder that is missing, of another game, or empty (unless allowed), and ``DiamondError``
    naming a damaged file.
    """

    def __init__(self, folder: Path, game: Game, *, may_be_empty: bool = False) -> None:
        if not folder.is_dir() and not may_be_empty:
            raise UsageError(f"no such folder of episodes: {folder} (collect some with 'diamond-train collect')")
        self.episodes = EpisodeFolder(folder, CACHE_BYTES)
        if len(self.episodes) == 0 and not may_be_empty:
            raise UsageError(f"no episodes in {folder}: collect some with 'diamond-train collect {game.name}'")
        self.game = _as_filed(game, self.episodes)
        """In frames as large as those that are there."""
        self._known = 0
        self._steps: Counter[Source] = Counter()
        self._take_notice()

    def _take_notice(self) -> None:
        for index in range(self._known, len(self.episodes)):
            path = self.episodes.paths[index]
            self._steps[_source(path, self.game)] += int(self.episodes.lengths[index])
        self._known = len(self.episodes)

    def steps_from(self, source: Source) -> int:
        """Number of steps in the folder of one source."""
        self._take_notice()
        return self._steps[source]

    def facts(self) -> dict[str, Any]:
        """Numbers of episodes, steps, and steps by policy, for the provenance of trained weights."""
        self._take_notice()
        policies: Counter[str] = Counter()
        for source, steps in self._steps.items():
            policies[str(source)] += steps
        return {"episodes": len(self.episodes), "steps": self.episodes.num_steps, "policies": dict(policies)}

    @property
    def memory(self) -> int:
        """Bytes of all decoded frames."""
        return min(self.episodes.num_steps * 3 * self.game.frame_height * self.game.frame_width, CACHE_BYTES)


def _as_filed(game: Game, folder: EpisodeFolder) -> Game:
    if len(folder) == 0:
        return game
    with open_episode(folder.paths[0]) as file:
        side = int(file["final_frame"].shape[0])
    return game if side == game.frame_height else game.sized(side)


def _source(path: Path, game: Game) -> Source:
    """Reads an episode's source. Raises ``UsageError`` for another game, ``DiamondError`` for an invalid episode."""
    with open_episode(path) as file:
        played = str(file.attrs.get("game", "unknown"))
        policy, epsilon, seed, hold = (file.attrs.get(name, default) for name, default in UNKNOWN._asdict().items())
        actions, image = read_dataset(file["actions"]), file["final_frame"].shape
    if played != game.name:
        raise UsageError(f"{path} is an episode of {played}, not of {game.name}: use another folder")
    if not np.isin(actions, range(len(game.actions))).all() or image != (game.frame_height, game.frame_width, 3):
        raise DiamondError(
            f"{path} is no episode of {game.name}: it needs actions from 0 to {len(game.actions) - 1} and frames of "
            f"{game.frame_height}x{game.frame_width}, not {'x'.join(map(str, image[:2]))}"
        )
    try:
        return Source(str(policy), float(epsilon), int(seed), float(hold))
    except (TypeError, ValueError, OverflowError) as error:
        raise DiamondError(
            f"{path} says nonsense of who played it: epsilon {epsilon!r}, seed {seed!r}, hold {hold!r}"
        ) from error
