"""Whether an action does what it should: dreams of every action, beside what each really leads to.

A real game is played at random up to a place and from there once with every action held; seeds make it the same game
each time. A dream goes the right way where, of all that the actions really lead to, what its own leads to is nearest.
Shapes: N places, A actions, L context length, S steps, H height, W width.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diamond_engine.emulators import Emulator, open_emulator
from diamond_engine.errors import DiamondError
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming, dream
from training.evaluation.held_out import held_out_seed
from training.evaluation.metrics import Frames
from training.runs.progress import Show

STEPS = 4
"""For which an action is held."""
MEASURED_STEPS = (1, 4)
PATH = 24
"""Random steps before a place, at most."""
LONGEST_PATH = 384
"""The same of games that listen to no action at first, such as Space Invaders."""
ATTEMPTS = 20
"""Games tried for a place, for each that is found."""


@dataclass(frozen=True)
class Place:
    """One place of a real game, and what each action leads to from there."""

    frames: Frames
    """The context ``(L, H, W, 3)``."""
    actions: NDArray[np.int64]
    """Between its frames ``(L-1,)``."""
    led_to: Frames
    """``(A, S, H, W, 3)``."""

    @property
    def listens(self) -> bool:
        """Whether the actions lead to different frames at all."""
        return bool((self.led_to != self.led_to[0]).any())


@dataclass(frozen=True)
class ActionWay:
    """Of one action, by step."""

    name: str
    """As the game calls it."""
    right: dict[int, float | None]
    """Share of the dreams that go the right way; None where it never led elsewhere than another action."""
    dreams: dict[int, int]
    """Dreams in which it did."""


@dataclass(frozen=True)
class RightWay:
    """Result of ``measure_right_way``."""

    actions: list[ActionWay]
    """Each of them."""
    overall: dict[int, float | None]
    """By step: share of all dreams that go the right way, of those in which the actions lead to different frames."""
    chance: dict[int, float | None]
    """The same of a dream that knows nothing of its action."""
    first: Place
    """One of the places."""
    dreamed: Frames
    """The dreams from there ``(A, S, H, W, 3)``."""


def measure_right_way(world: World, how: Dreaming, places: int, show: Show = lambda done: None) -> RightWay:
    """Plays to so many places and dreams on from each with every action; ``show`` takes the places done.

    Of places where every action leads to the same frames, nothing is to be learned: these are left out, and the next
    game is played for longer. Raises ``DiamondError`` where there is no other place.
    """
    found: list[Place] = []
    dreams: list[Frames] = []
    longest = PATH
    with closing(open_emulator(world.game, seed=how.seed)) as emulator:
        for attempt in range(places * ATTEMPTS):
            if len(found) == places:
                break
            place = find_place(emulator, world.context_length, held_out_seed(how.seed) + attempt, longest)
            if place is None:
                continue
            if not place.listens:
                longest = min(2 * longest, LONGEST_PATH)
                continue
            found.append(place)
            dreams.append(_dreamed(world, how, place))
            show(len(found))
    if not found:
        why = "are over too soon" if longest == PATH else f"do not depend on any action in the first {longest} steps"
        raise DiamondError(f"games of {world.game.title} {why}: there is nothing to compare dreams with")
    return judged(world.game.actions, found, dreams)


def find_place(emulator: Emulator, length: int, seed: int, longest: int = PATH) -> Place | None:
    """A place of the game of this seed after ``longest`` steps at most; None where it is over before every action was
    held.
    """
    rng = np.random.default_rng(seed)
    count = len(emulator.game.actions)
    path = rng.integers(count, size=int(rng.integers(length, length + longest)))
    branches: list[Frames] = []
    for action in range(count):
        frames = _played(emulator, seed, [*path.tolist(), *[action] * STEPS])
        if frames is None:
            return None
        branches.append(frames)
    context = branches[0][len(path) + 1 - length : len(path) + 1]
    led_to = np.stack([frames[len(path) + 1 :] for frames in branches])
    return Place(context, path[len(path) + 1 - length :].astype(np.int64), led_to)


def _played(emulator: Emulator, seed: int, actions: list[int]) -> Frames | None:
    """All frames of a game, the first one included; None where it ends before the last action."""
    frames = [emulator.reset(seed)[0].copy()]
    for number, action in enumerate(actions, start=1):
        result = emulator.step(np.array([action]))
        frames.append(result.successors[0].copy())
        if result.game_over[0] and number < len(actions):
            return None
    return np.stack(frames)


def _dreamed(world: World, how: Dreaming, place: Place) -> Frames:
    count = len(place.led_to)
    between = np.broadcast_to(place.actions, (count, len(place.actions)))
    held = np.repeat(np.arange(count)[:, None], STEPS, axis=1)
    contexts = np.repeat(place.frames[None], count, axis=0)
    return dream(world, how, contexts, np.concatenate((between, held), axis=1))


def judged(names: tuple[str, ...], places: list[Place], dreams: list[Frames]) -> RightWay:
    """Compares dreams ``(A, S, H, W, 3)`` of every place with what the actions lead to there."""
    right: dict[int, NDArray[np.float64]] = {}
    chance: dict[int, float | None] = {}
    for step in MEASURED_STEPS:
        results = [
            nearest(place.led_to[:, step - 1], dreamed[:, step - 1])
            for place, dreamed in zip(places, dreams, strict=True)
        ]
        right[step] = np.array([result for result, _ in results]).reshape(-1, len(names))
        kinds = [1 / different for _, different in results if different > 1]
        chance[step] = float(np.mean(kinds)) if kinds else None
    return RightWay(
        actions=[
            ActionWay(
                name,
                {step: _share(rows[:, i]) for step, rows in right.items()},
                {step: int(np.isfinite(rows[:, i]).sum()) for step, rows in right.items()},
            )
            for i, name in enumerate(names)
        ],
        overall={step: _share(rows.ravel()) for step, rows in right.items()},
        chance=chance,
        first=places[0],
        dreamed=dreams[0],
    )


def nearest(led_to: Frames, dreamed: Frames) -> tuple[NDArray[np.float64], int]:
    """For every action whether its dream is nearest to what it leads to ``(A,)``, and how many ends there really are.

    Both uint8 ``(A, H, W, 3)``. Actions that lead to the same frame are one; NaN where all of them do.
    """
    flat = led_to.reshape(len(led_to), -1)
    ends, which = np.unique(flat, axis=0, return_inverse=True)
    if len(ends) == 1:
        return np.full(len(led_to), np.nan), 1
    seen = dreamed.reshape(len(dreamed), -1).astype(np.float32)
    distances = np.stack([np.abs(seen - end).mean(axis=1) for end in ends.astype(np.float32)], axis=1)
    return (distances.argmin(axis=1) == which.ravel()).astype(np.float64), len(ends)


def _share(right: NDArray[np.float64]) -> float | None:
    known = right[np.isfinite(right)]
    return float(known.mean()) if len(known) else None
