"""Excerpts: short episodes around events of the ball, from which a world learns what it seldom sees.

The scripted readers find the events. Shapes: T steps of an excerpt, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from diamond_engine.episodes import Episode
from diamond_engine.errors import UsageError
from diamond_engine.games import Game
from training.data.episodes import GameEpisodes
from training.data.scripted.events import KINDS, find_events
from training.data.scripted.readers import READERS
from training.runs.progress import Show

ORIGIN = "excerpt_of"
"""Attribute of an excerpt: its episode's file and the event's frame."""


@dataclass(frozen=True)
class Excerpts:
    """What is cut out of the episodes of a game."""

    game: Game
    """One that has a reader."""
    kinds: Sequence[str]
    """Of events, such as ``paddle return``."""
    before: int
    """Frames before an event's."""
    after: int
    """Frames after it."""

    def __post_init__(self) -> None:
        """Raises ``UsageError`` for a game without a reader and for kinds that it does not know."""
        if self.game.name not in KINDS:
            raise UsageError(f"nothing reads the events of {self.game.name}, only those of {' and '.join(KINDS)}")
        known = KINDS[self.game.name].names
        for kind in self.kinds:
            if kind not in known:
                raise UsageError(f"unknown event {kind!r}: {self.game.name} has {', '.join(known)}")

    def of(self, episode: Episode, name: str) -> Iterator[Episode]:
        """The excerpts of T = ``before`` + ``after`` steps that lie inside an episode; ``name`` is its file's."""
        frames = episode.all_frames
        events = find_events(READERS[self.game.name], KINDS[self.game.name], episode)
        for event in sorted(events, key=lambda event: event.frame):
            first, last = event.frame - self.before, event.frame + self.after
            if event.kind not in self.kinds or first < 0 or last > len(episode):
                continue
            steps = slice(first, last)
            policy = f"{episode.attributes.get('policy', 'unknown')} around a {event.kind}"
            yield Episode(
                frames=frames[steps],
                actions=episode.actions[steps],
                rewards=episode.rewards[steps],
                terminated=episode.terminated[steps],
                truncated=episode.truncated[steps],
                final_frame=frames[last],
                attributes={**episode.attributes, "policy": policy, ORIGIN: f"{name} frame {event.frame}"},
            )


def write_excerpts(wanted: Excerpts, source: GameEpisodes, out: GameEpisodes, show: Show) -> int:
    """Adds the excerpts of all episodes of ``source`` to ``out``, those that are not there yet; returns their number.

    ``show`` takes the number of episodes read.
    """
    there = out.episodes.attribute(ORIGIN)
    added = 0
    for i, path in enumerate(source.episodes.paths):
        for excerpt in wanted.of(source.episodes[i], f"{path.parent.name}/{path.name}"):
            if excerpt.attributes[ORIGIN] not in there:
                out.episodes.append(excerpt)
                added += 1
        show(i + 1)
    return added
