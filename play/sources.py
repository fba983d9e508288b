"""Sources of frames: a game that can be reset and stepped, dreamed by a world model or run by the emulator.

Shapes: H height, W width; h, w before upsampling.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond_engine import World, WorldModelEnv
from diamond_engine.emulators import open_emulator
from diamond_engine.frames import to_numpy
from diamond_engine.games import Game
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import Preset
from play.actions import Action
from play.view import Frame, Origin


@dataclass(frozen=True)
class Start:
    """The start of an episode. Same start and actions, same frames."""

    seed: int = 0
    """Seed of all randomness."""
    context: int | None = None
    """Number of the start context; None: the source chooses by the seed."""

    def next(self, num_contexts: int) -> Start:
        """The next start, in a source with ``num_contexts`` numbered start contexts."""
        context = None if self.context is None else (self.context + 1) % num_contexts
        return replace(self, seed=self.seed + 1, context=context)


@dataclass(frozen=True)
class Opening:
    """The state at the start of an episode."""

    frame: Frame
    """The frame to act on, ``(H, W, 3)`` RGB."""
    low_res: Frame | None = None
    """The same before upsampling, ``(h, w, 3)`` RGB, if the source has it."""
    recorded: tuple[Action, ...] = ()
    """Actions of the recorded player from here, entry t at step t; empty if unknown."""
    dreamed: Frame | None = None
    """The part of the frame that a world model drew, where the frame shows more."""


@dataclass(frozen=True)
class Transition:
    """The result of one action."""

    frame: Frame
    """``(H, W, 3)`` RGB; at an end still the last frame of the old episode."""
    reward: float
    """In a dream -1, 0 or 1; in the emulator the change of the score."""
    ended: bool
    """The episode is over by the rules of the game."""
    truncated: bool
    """The episode is over by a limit of the source."""
    low_res: Frame | None = None
    """The frame before upsampling, ``(h, w, 3)`` RGB, where the source has it."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of each stage of the world model, in order; empty in the emulator."""
    dreamed: Frame | None = None
    """The part of the frame that a world model drew, where the frame shows more."""


class Source(Protocol):
    """One game. Only the thread that made it may use it."""

    origin: Origin
    num_contexts: int
    """Number of start contexts that a start may choose from."""

    def reset(self, start: Start) -> Opening:
        """Starts an episode."""
        ...

    def step(self, action: Action) -> Transition:
        """Takes an action. After an end or truncation ``reset`` must come next."""
        ...

    def run_on(self, runtime: Runtime) -> None:
        """Switches to other kernels on the same device and in the same precision."""
        ...

    def close(self) -> None:
        """Releases what the source holds."""
        ...


class Dream:
    """A world model as a source. It never truncates: the session has the horizon."""

    origin = Origin.DREAM

    def __init__(self, world: World, preset: Preset, runtime: Runtime) -> None:
        self.num_contexts = 0 if world.contexts is None else len(world.contexts)
        self._recorded = None if world.contexts is None else world.contexts.recorded
        self._clock = _StageClock()
        self._env = WorldModelEnv(world, 1, runtime, preset, on_stage=self._clock.passed)

    def reset(self, start: Start) -> Opening:
        """See ``Source.reset``. Raises ``DiamondError`` if the world lacks start contexts or this one."""
        obs, info = self._env.reset(start.seed, None if start.context is None else {"context": start.context})
        recorded: tuple[Action, ...] = ()
        if start.context is not None and self._recorded is not None:
            recorded = actions_of(self._recorded[start.context])
        return Opening(to_numpy(obs[0]), _low_res(info), recorded)

    def step(self, action: Action) -> Transition:
        """See ``Source.step``."""
        self._clock.start()
        obs, reward, ended, truncated, info = self._env.step(torch.tensor([action]))
        led_to = info.get("final_obs", obs)
        return Transition(
            frame=to_numpy(led_to[0]),
            reward=float(reward[0]),
            ended=bool(ended[0]),
            truncated=bool(truncated[0]),
            low_res=_low_res(info),
            stage_ms=dict(self._clock.stage_ms),
        )

    def run_on(self, runtime: Runtime) -> None:
        """See ``Source.run_on``."""
        self._env.run_on(runtime)

    def close(self) -> None:
        """See ``Source.close``."""


class _StageClock:
    """Times the stages of a world model."""

    def __init__(self) -> None:
        self.stage_ms: dict[str, float] = {}
        self._last = 0.0

    def start(self) -> None:
        """Starts timing a step."""
        self.stage_ms.clear()
        self._last = time.perf_counter()

    def passed(self, stage: str, drawn: Tensor) -> None:
        """Called when a stage has drawn its frame or queued the work."""
        drawn[0, 0, 0, 0].item()  # waits for the device
        now = time.perf_counter()
        self.stage_ms[stage] = 1000 * (now - self._last)
        self._last = now


def actions_of(array: NDArray[np.integer]) -> tuple[Action, ...]:
    """Converts an array of actions, ``(T,)`` indices or ``(T, A)`` vectors, to a tuple."""
    return tuple(tuple(row) if isinstance(row, list) else row for row in array.tolist())


def _low_res(info: Mapping[str, Tensor]) -> Frame | None:
    return to_numpy(info["low_res"][0]) if "low_res" in info else None


class Emulator:
    """The real game as a source; an episode is a whole game."""

    origin = Origin.EMULATOR
    num_contexts = 0

    def __init__(self, game: Game) -> None:
        self._emulator = open_emulator(game)

    def reset(self, start: Start) -> Opening:
        """See ``Source.reset``."""
        return Opening(self._emulator.reset(start.seed)[0].copy())

    def step(self, action: Action) -> Transition:
        """See ``Source.step``."""
        result = self._emulator.step(np.array([action]))
        return Transition(
            result.successors[0].copy(), float(result.rewards[0]), bool(result.terminated[0]), bool(result.truncated[0])
        )

    def run_on(self, runtime: Runtime) -> None:
        """Does nothing: no networks."""

    def close(self) -> None:
        """See ``Source.close``."""
        self._emulator.close()
