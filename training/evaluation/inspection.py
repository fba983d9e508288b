"""Inspection of episode files. Shapes: A actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diamond_engine.actions import KeyMap, csgo, stated_key_map
from diamond_engine.episodes import EPISODE_NAME, Episode, read_episode
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import game_named
from training.runs.progress import Show


@dataclass(frozen=True)
class EpisodeFacts:
    """One episode without its frames."""

    steps: int
    """Number of actions taken."""
    score: float
    """Sum of the unclipped rewards."""
    reward_events: int
    """Number of nonzero rewards."""
    terminated: bool
    """It ended: the game was over or a life was lost."""
    truncated: bool
    """It was cut off by a limit."""
    frame_shape: str
    """Height × width × channels, such as ``64×64×3``."""
    game: str
    """The game in its attributes, or ``unknown``."""
    policy: str
    """The policy in its attributes, or ``unknown``."""
    actions: Counter[str]
    """How often each action was taken, by name (by number for an unknown game)."""


@dataclass(frozen=True)
class Inspection:
    """The findings in a folder."""

    episodes: list[EpisodeFacts]
    """The readable episodes, oldest first."""
    damaged: list[str]
    """One line for every file that is not a readable episode."""


def episode_paths(path: Path) -> list[Path]:
    """The episode files of a folder, oldest first, or the file itself. Raises ``UsageError`` where there are none."""
    if path.is_file():
        return [path]
    paths = sorted(file for file in path.glob("*.h5") if EPISODE_NAME.fullmatch(file.name))
    if not paths:
        raise UsageError(f"no episodes in {path}: expected files named episode_000000.h5 and so on")
    return paths


def inspect_episodes(paths: Sequence[Path], show: Show = lambda done: None) -> Inspection:
    """Reads every file in full, so that any damage is found."""
    inspection = Inspection([], [])
    for done, path in enumerate(paths, start=1):
        try:
            inspection.episodes.append(episode_facts(read_episode(path)))
        except DiamondError as error:
            inspection.damaged.append(str(error))
        show(done)
    return inspection


def episode_facts(episode: Episode) -> EpisodeFacts:
    """The summary of an episode for ``inspect_episodes``."""
    game = str(episode.attributes.get("game", "unknown"))
    return EpisodeFacts(
        steps=len(episode),
        score=episode.score,
        reward_events=int(np.count_nonzero(episode.rewards)),
        terminated=bool(episode.terminated.any()),
        truncated=bool(episode.truncated.any()),
        frame_shape="×".join(map(str, episode.frames.shape[1:])),
        game=game,
        policy=str(episode.attributes.get("policy", "unknown")),
        actions=_named(episode.actions, game, stated_key_map(episode.attributes, csgo.KEY_MAP)),
    )


def _named(actions: NDArray[np.int64] | NDArray[np.uint8], game: str, key_map: KeyMap) -> Counter[str]:
    if actions.ndim == 2:
        return Counter([key_map.names[entry] for entry in np.nonzero(actions)[1]])
    names = dict(enumerate(_action_names(game)))
    return Counter([names.get(action, str(action)) for action in actions.tolist()])


@cache
def _action_names(game: str) -> tuple[str, ...]:
    """None of an unknown game, nor of a person's own: a file of data must not make this program import a module."""
    if ":" in game.removeprefix("gym:"):
        return ()
    try:
        return game_named(game).actions
    except DiamondError:
        return ()
