"""Finds events of the ball in real episodes, frame by frame: paddles, walls, bricks, misses and points.

Events out of sight (a miss, a point, a brick) count from where the ball was last seen. Shapes: T steps of an episode,
H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from diamond_engine.episodes import Episode
from training.data.scripted.readers import Reader

LONGEST_GAP = 4
"""Frames out of sight after which a ball counts as a new one."""
STILL = 0.3
"""Speed in pixels a frame up to which a ball counts as still along an axis."""
LONGEST_WAIT = 9
"""Frames from where the ball was last seen to what is rewarded or ends a life, at most."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Turn:
    """A ball that turns back along an axis."""

    kind: str
    """For a person."""
    axis: int
    """0 rows, 1 columns."""
    sign: int
    """Of its motion before."""
    between: tuple[float, float]
    """Where it turns, in pixels."""


@dataclass(frozen=True)
class Kinds:
    """The events of a game."""

    turns: tuple[Turn, ...]
    """Seen from the ball's path."""
    rewards: Mapping[int, str] = field(default_factory=dict[int, str])
    """Name of an event by the sign of its reward."""
    end: str | None = None
    """Name of the event that ends a life."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once."""
        ends = () if self.end is None else (self.end,)
        return tuple(dict.fromkeys((*(turn.kind for turn in self.turns), *self.rewards.values(), *ends)))


KINDS = {
    "Breakout": Kinds(
        turns=(
            Turn("paddle return", 0, 1, (50, 64)),
            Turn("wall bounce", 1, -1, (0, 9)),
            Turn("wall bounce", 1, 1, (54, 64)),
        ),
        rewards={1: "brick hit"},
        end="miss",
    ),
    "Pong": Kinds(
        turns=(
            Turn("paddle return", 1, 1, (48, 64)),
            Turn("opponent's return", 1, -1, (0, 16)),
            Turn("wall bounce", 0, -1, (0, 17)),
            Turn("wall bounce", 0, 1, (53, 64)),
        ),
        rewards={1: "point won", -1: "point lost"},
    ),
}
"""Events by game."""


@dataclass(frozen=True)
class Event:
    """An event in an episode."""

    kind: str
    """For a person."""
    frame: int
    """Frame at which the ball turns, or at which it is last seen before."""
    told: int | None = None
    """The frame that the rewarded or last action led to; None where nothing is rewarded or ends."""
    reward: int = 0
    """Sign of the reward; 0 with ``told`` is an end."""


def find_events(reader: Reader, kinds: Kinds, episode: Episode) -> list[Event]:
    """All events of an episode, in no order."""
    track = reader.track(episode.all_frames)
    found = [Event(turn.kind, frame) for turn in kinds.turns for frame in turning_points(track, turn)]
    told = [
        Event(kinds.rewards[sign], 0, int(step) + 1, sign)
        for step in np.flatnonzero(episode.rewards)
        if (sign := int(np.sign(episode.rewards[step]))) in kinds.rewards
    ]
    if kinds.end is not None and episode.terminated[-1]:
        told.append(Event(kinds.end, 0, len(episode)))
    seen = np.flatnonzero(~np.isnan(track[:, 0]))
    for event in told:
        before = seen[seen < (event.told or 0)]
        if len(before) and (event.told or 0) - before[-1] <= LONGEST_WAIT:
            found.append(replace(event, frame=int(before[-1])))
    return found


def turning_points(track: Floats, turn: Turn) -> Iterator[int]:
    """Frames at which a ball turns: rows and columns ``(T, 2)``, NaN where there is none."""
    positions = track[:, turn.axis]
    heading, last = 0, -1
    for frame in np.flatnonzero(~np.isnan(positions)).tolist():
        change = positions[frame] - positions[last] if last >= 0 else 0.0
        if last < 0 or frame - last > LONGEST_GAP:
            heading = 0
        elif abs(change) > STILL:
            sign = int(np.sign(change))
            if heading == turn.sign == -sign and turn.between[0] <= positions[last] <= turn.between[1]:
                yield last
            heading = sign
        last = frame
