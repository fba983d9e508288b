"""Compares events of the ball in dreams with the real game: paddles, walls, bricks, misses and points.

A dream starts a few steps before each event that is found in real episodes of the scripted policy, with the real
actions, so that the event falls into the dream.

Shapes: T steps of an episode, S steps of a dream, L context length, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diamond_engine.episodes import Episode, EpisodeFolder, cut
from diamond_engine.world_model import World
from training.data.scripted.events import LONGEST_WAIT, Event, Floats, Kinds, find_events
from training.data.scripted.readers import Reader
from training.evaluation.dreams import Dreaming, dream_steps
from training.evaluation.metrics import Frames, Share
from training.runs.progress import Show

MEASURED_STEPS = (1, 3, 6, 9, 12)
"""Steps after the context at which the dreamed ball is compared with the real one."""
AHEAD = (3, 5)
"""Fewest and most steps from the context to an event."""
NEAR = 3.0
"""Largest distance in pixels at which a dreamed ball counts as the real one."""
TOLERANCE = 2
"""Steps by which a reward or an end may come early or late."""
HORIZON = AHEAD[1] + LONGEST_WAIT + TOLERANCE
"""Steps of a dream: long enough for the end of a life, which comes some time after the ball is gone."""


@dataclass(frozen=True)
class EventStart:
    """The start of a dream into an event."""

    episode: int
    """Index in the folder."""
    newest: int
    """Index of the newest context frame."""
    event: Event
    """The event."""


@dataclass(frozen=True)
class EventDream:
    """The dream of an event and its real frames; a step leads to the frame of the same index."""

    start: EventStart
    """Its start."""
    real: Frames
    """Real frames after the context as far as the episode lasts, at most S, ``(S, H, W, 3)``."""
    dreamed: Frames
    """``(S, H, W, 3)``."""
    rewards: NDArray[np.float32]
    """Dreamed ones ``(S,)``."""
    ends: NDArray[np.bool_]
    """Dreamed ones ``(S,)``."""
    real_rewards: NDArray[np.float32]
    """Real ones as far as the episode lasts."""
    real_ends: NDArray[np.bool_]
    """Real ones as far as the episode lasts."""


@dataclass(frozen=True)
class EventFidelity:
    """Results of one kind of event."""

    kind: str
    """For a person."""
    n: int
    """Events dreamed."""
    near: dict[int, Share]
    """By step: dreams whose ball is near the real one, of those with a real one."""
    told: Share | None
    """Dreams whose reward/end model said the same in time; None for what is neither rewarded nor an end, and for a
    world without such a model."""
    made_up: Share | None
    """Of the dreams of all kinds in which this really does not happen, those that say it does; None likewise."""


def draw_event_starts(
    reader: Reader, kinds: Kinds, folder: EpisodeFolder, context: int, per_kind: int, seed: int
) -> list[EventStart]:
    """Up to ``per_kind`` starts of every kind, each 3 to 5 steps before its event and with a full context."""
    rng = np.random.default_rng(seed)
    by_kind: dict[str, list[EventStart]] = {kind: [] for kind in kinds.names}
    for i in range(len(folder)):
        for event in find_events(reader, kinds, folder[i]):
            newest = event.frame - int(rng.integers(AHEAD[0], AHEAD[1] + 1))
            if newest >= context - 1:
                by_kind[event.kind].append(EventStart(i, newest, event))
    return [starts[i] for starts in by_kind.values() for i in rng.permutation(len(starts))[:per_kind]]


def dream_events(
    world: World,
    folder: EpisodeFolder,
    starts: Sequence[EventStart],
    how: Dreaming,
    show: Show = lambda done: None,
) -> list[EventDream]:
    """Dreams from every start; ``show`` takes the frames dreamed so far."""
    context = world.context_length
    dreams: list[EventDream] = []
    for first in range(0, len(starts), how.num_envs):
        batch = starts[first : first + how.num_envs]
        rows = [cut(folder[start.episode], start.newest + 1 - context, context + HORIZON) for start in batch]
        frames = np.asarray([row["frames"] for row in rows], dtype=np.uint8)
        actions = np.asarray([row["actions"] for row in rows], dtype=np.int64)[:, :-1]
        steps = list(dream_steps(world, replace(how, seed=how.seed + first), frames[:, :context], actions))
        for i, start in enumerate(batch):
            dreamed = np.stack([step.frames[i] for step in steps])
            rewards, ends = np.array([step.rewards[i] for step in steps]), np.array([step.ends[i] for step in steps])
            dreams.append(beside_real(folder[start.episode], start, dreamed, rewards, ends))
        show((first + len(batch)) * HORIZON)
    return dreams


def beside_real(
    episode: Episode,
    start: EventStart,
    dreamed: Frames,
    rewards: NDArray[np.float32],
    ends: NDArray[np.bool_],
) -> EventDream:
    """A dream from a place in an episode, frames ``(S, H, W, 3)``, rewards and ends ``(S,)``, and what really was."""
    real = episode.all_frames[start.newest + 1 : start.newest + 1 + HORIZON]
    steps = slice(start.newest, start.newest + len(real))
    return EventDream(start, real, dreamed, rewards, ends, episode.rewards[steps], episode.terminated[steps])


def judge_events(
    reader: Reader, kinds: Kinds, dreams: Sequence[EventDream], judged: bool = True
) -> list[EventFidelity]:
    """Results of every kind of event, even of those without any. ``judged``: there is a reward/end model."""
    results: list[EventFidelity] = []
    for kind in kinds.names:
        own = [dream for dream in dreams if dream.start.event.kind == kind]
        pairs = [(reader.track(dream.dreamed), reader.track(dream.real)) for dream in own]
        near = {
            step: _near([(d[step - 1], r[step - 1]) for d, r in pairs if len(r) >= step]) for step in MEASURED_STEPS
        }
        is_told = judged and kind in (*kinds.rewards.values(), kinds.end)
        told = Share(sum(map(is_in_time, own)), len(own)) if is_told else None
        made_up = _made_up(dreams, _sign_of(kinds, kind)) if is_told else None
        results.append(EventFidelity(kind, len(own), near, told, made_up))
    return results


def _near(pairs: Sequence[tuple[Floats, Floats]]) -> Share:
    """Of dreamed and real positions ``(2,)``, those that have a real one; no dreamed ball is never near."""
    distances = np.array([np.linalg.norm(dreamed - real) for dreamed, real in pairs if not np.isnan(real[0])])
    return Share(int((distances <= NEAR).sum()), len(distances))


def _sign_of(kinds: Kinds, kind: str) -> int:
    """Of the reward; 0 for an end."""
    return next((sign for sign, name in kinds.rewards.items() if name == kind), 0)


def _made_up(dreams: Sequence[EventDream], sign: int) -> Share:
    """Of the dreams without such a reward (or end, with sign 0) for as long as the dream lasts."""
    without = [
        dream
        for dream in dreams
        if len(dream.real) == HORIZON and not _happens(dream.real_rewards, dream.real_ends, sign)
    ]
    return Share(sum(_happens(dream.rewards, dream.ends, sign) for dream in without), len(without))


def _happens(rewards: NDArray[np.float32], ends: NDArray[np.bool_], sign: int) -> bool:
    return bool((np.sign(rewards) == sign).any() if sign else ends.any())


def is_in_time(dream: EventDream) -> bool:
    """Whether a dream earns the event's reward, or ends, within two steps of the real game."""
    event = dream.start.event
    assert event.told is not None
    step = event.told - dream.start.newest - 1
    window = slice(max(0, step - TOLERANCE), step + TOLERANCE + 1)
    return _happens(dream.rewards[window], dream.ends[window], event.reward)
