"""How far long dreams drift from the real game (Figure 3 of the paper).

Real games are played for T actions. From the same starts, with the same actions, a world dreams the same T steps, once
for every number of denoising steps. Time is split into windows. In every window the frames of all dreams are compared
with those of *other* real games at the same time, by ``PixelMoments.distance``. The real games that the dreams follow
are measured in the same way: their distance is chance, and a dream drifts if its distance is larger.

The mean of a pixel moves if colours or the scene change, its deviation if objects freeze, fade or flicker. Compounding
errors do both. Errors that no single pixel shows, such as a second ball, are not measured. No frames are kept, only
sums of every pixel and the few frames that are shown.

Shapes: B dreams, L context length, T steps, K pictured steps, H height, W width.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from diamond_engine.errors import UsageError
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming, dream_on, steps_label
from training.evaluation.held_out import play_held_out
from training.evaluation.metrics import Frames, PixelMoments
from training.runs.progress import Show

FIRST_MARK = 10
LEAD_IN = 20
"""Real steps before the context, so that the game has started."""


@dataclass(frozen=True)
class Drifting:
    """Settings of the measurement."""

    steps: int = 1000
    """Steps T of every dream."""
    denoising_steps: tuple[int, ...] = (1, 3, 10)
    """Numbers of denoising steps to compare."""
    dreams: int = 4
    """Number of parallel dreams B, each after its own real game."""
    real_games: int = 16
    """Number of other real games to compare with."""
    epsilon: float = 0.1
    """Probability of a random action in the real games; 1 needs no agent."""
    preset: str | None = None
    """Sampler preset of the worlds; its number of steps is replaced."""
    seed: int = 0
    """Seed of games, policies and noise; every number of denoising steps starts its frames from the same noise."""
    device: str = "auto"
    """See ``Runtime.choose``."""
    dtype: str = "auto"
    """See ``Runtime.choose``."""

    @property
    def marks(self) -> tuple[int, ...]:
        """Last steps of the windows: 10, 20, 50, 100, 200, … and T."""
        series = (FIRST_MARK * 10**power * factor for power in range(len(str(self.steps))) for factor in (1, 2, 5))
        return (*[mark for mark in series if mark < self.steps], self.steps)

    @property
    def pictured(self) -> tuple[int, ...]:
        """Steps whose frames are pictured."""
        return tuple(sorted({1, *self.marks}))

    def ways_of(self, world: World) -> tuple[int | None, ...]:
        """Numbers of denoising steps that a world dreams with; None alone where it has none."""
        return self.denoising_steps if world.config.preset(self.preset).steps else (None,)

    def dreaming(self, world: World, steps: int | None) -> Dreaming:
        """How a world dreams with so many denoising steps."""
        preset = world.config.preset(self.preset).with_steps(steps)
        return Dreaming(preset, self.seed, self.dreams, self.device, self.dtype)


@dataclass(frozen=True)
class Course:
    """One course from the common starts: the real one, or a dream."""

    label: str
    """``real``, ``tokens``, or the number of denoising steps."""
    distances: tuple[float, ...]
    """``PixelMoments.distance`` to the other real games in every window, levels of 256."""
    frames: Frames
    """The first game at every pictured step ``(K, H, W, 3)``."""


@dataclass(frozen=True)
class RealPlay:
    """Real games: those that dreams follow, and the statistics of the others."""

    frames: Frames
    """Contexts of the dreams, ``(B, L, H, W, 3)``."""
    actions: NDArray[np.int64]
    """Actions between the context frames, then those to play, ``(B, L-1+T)``."""
    reference: list[PixelMoments]
    """Pixel moments of the other games in every window."""
    course: Course
    """What really followed."""


@dataclass(frozen=True)
class Drift:
    """Result of ``measure_drift``."""

    marks: tuple[int, ...]
    """Last steps of the windows; each begins after the one before it."""
    pictured: tuple[int, ...]
    """Steps of the frames of every course."""
    real: Course
    """The real course."""
    dreams: dict[str, list[Course]]
    """What each world dreamed, one course for every number of denoising steps, or one of tokens."""


class _Recorder:
    """Accumulates the frames of a course, step by step."""

    def __init__(self, how: Drifting) -> None:
        self.moments = [PixelMoments() for _ in how.marks]
        self._how = how
        self._shown: list[Frames] = []

    def add(self, step: int, frames: Frames) -> None:
        self.moments[bisect_left(self._how.marks, step)].add(frames)
        if step in self._how.pictured:
            self._shown.append(frames[0].copy())

    def course(self, label: str, reference: Sequence[PixelMoments]) -> Course:
        distances = [own.distance(real) for own, real in zip(self.moments, reference, strict=True)]
        return Course(label, tuple(distances), np.stack(self._shown))


def play_real(world: World, how: Drifting, show: Show = lambda done: None) -> RealPlay:
    """Plays all real games at once with the world's agent; ``show`` takes the steps so far."""
    followed, others = _Recorder(how), _Recorder(how)
    games = play_held_out(world, how.dreams + how.real_games, how.epsilon, how.seed, how.device, how.dtype)
    with closing(games):
        context = list(islice(games, LEAD_IN, LEAD_IN + world.context_length))
        actions = [taken[: how.dreams] for _, taken in context]
        for step, (frames, taken) in enumerate(islice(games, how.steps), start=1):
            followed.add(step, frames[: how.dreams])
            others.add(step, frames[how.dreams :])
            actions.append(taken[: how.dreams])
            show(step)
    return RealPlay(
        frames=np.stack([frames[: how.dreams] for frames, _ in context], axis=1),
        actions=np.stack(actions[:-1], axis=1),
        reference=others.moments,
        course=followed.course("real", others.moments),
    )


def network_calls(worlds: Mapping[str, World], how: Drifting) -> int:
    """Number of denoiser calls, each for B frames, of ``measure_drift``: its duration is proportional to it."""
    ways = [(world, how.dreaming(world, steps)) for world in worlds.values() for steps in how.ways_of(world)]
    return how.steps * sum(world.config.network_calls(way.preset) for world, way in ways)


def measure_drift(worlds: Mapping[str, World], real: RealPlay, how: Drifting, show: Show = lambda done: None) -> Drift:
    """Dreams from the same real games with every world (by label) and every number of denoising steps.

    ``show`` takes the calls of networks so far. Raises ``UsageError`` for worlds that do not take the same contexts
    and actions.
    """
    check_comparable(worlds)
    dreams: dict[str, list[Course]] = {}
    done = 0
    for label, world in worlds.items():
        dreams[label] = []
        for steps in how.ways_of(world):
            recorder, way = _Recorder(how), how.dreaming(world, steps)
            for step, frames in enumerate(dream_on(world, way, real.frames, real.actions), start=1):
                recorder.add(step, frames)
                done += world.config.network_calls(way.preset)
                show(done)
            dreams[label].append(recorder.course("tokens" if steps is None else steps_label(steps), real.reference))
    return Drift(how.marks, how.pictured, real.course, dreams)


def check_comparable(worlds: Mapping[str, World]) -> None:
    """Raises ``UsageError`` for worlds of different games or context lengths."""
    if len({(world.game.name, world.context_length) for world in worlds.values()}) > 1:
        raise UsageError("worlds side by side must be of one game and take contexts of one length")
