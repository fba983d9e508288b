"""Sources of frames: one game that can be reset and stepped, dreamed by a world model or run by the real emulator.

Shapes: H height, W width, L context length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine import World, WorldModelEnv
from diamond_engine.actions import AtariGame
from diamond_engine.emulator import AtariEmulator, has_rom
from diamond_engine.errors import DiamondError
from diamond_engine.frames import to_uint8
from diamond_engine.worlds import Preset
from play.view import Origin


@dataclass(frozen=True)
class Transition:
    """What one action led to."""

    frame: NDArray[np.uint8]
    """``(H, W, 3)`` RGB; of the old episode, also where it ended."""
    reward: float
    """In a dream -1, 0 or 1; in the emulator the change of the score."""
    ended: bool
    """The episode is over by the rules of the game."""
    truncated: bool
    """The episode is over by a limit of the source."""


class Source(Protocol):
    """One game. Same seed and actions, same frames. Used by one thread, the one that made it."""

    origin: Origin

    def reset(self, seed: int) -> NDArray[np.uint8]:
        """Starts an episode; returns the frame ``(H, W, 3)`` to act on."""
        ...

    def step(self, action: int) -> Transition:
        """Takes an action of the game; after an end or truncation ``reset`` comes next."""
        ...

    def close(self) -> None:
        """Lets go of what the source holds."""
        ...


class Dream:
    """A world model as a source; it never truncates, the session keeps the horizon."""

    origin = Origin.DREAM

    def __init__(self, world: World, preset: Preset, device: str, dtype: str) -> None:
        self._env = WorldModelEnv(world, num_envs=1, device=device, dtype=dtype, preset=preset)

    def reset(self, seed: int) -> NDArray[np.uint8]:
        """See ``Source.reset``. Raises ``DiamondError`` where the world has no start contexts."""
        obs, _ = self._env.reset(seed)
        return to_uint8(obs[0]).cpu().numpy()

    def step(self, action: int) -> Transition:
        """See ``Source.step``."""
        obs, reward, ended, truncated, info = self._env.step(torch.tensor([action]))
        led_to = info.get("final_obs", obs)
        return Transition(to_uint8(led_to[0]).cpu().numpy(), float(reward[0]), bool(ended[0]), bool(truncated[0]))

    def close(self) -> None:
        """See ``Source.close``."""


class Emulator:
    """The real game as a source; an episode is a whole game."""

    origin = Origin.EMULATOR

    def __init__(self, game: AtariGame) -> None:
        if not has_rom(game):
            raise DiamondError(f"the installed ale-py has no ROM of {game.name}: pip install --upgrade ale-py")
        self._emulator = AtariEmulator(game)

    def reset(self, seed: int) -> NDArray[np.uint8]:
        """See ``Source.reset``."""
        return self._emulator.reset(seed)[0].copy()

    def step(self, action: int) -> Transition:
        """See ``Source.step``."""
        result = self._emulator.step(np.array([action]))
        return Transition(
            result.successors[0].copy(), float(result.rewards[0]), bool(result.terminated[0]), bool(result.truncated[0])
        )

    def close(self) -> None:
        """See ``Source.close``."""
        self._emulator.close()
