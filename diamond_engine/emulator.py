"""The real Atari games, batched: ``ale_py.AtariVectorEnv`` set up as in the Atari 100k benchmark (Appendix D).

NoFrameskip ROMs, minimal action set, no sticky actions, up to 30 no-op starts, 4 frames an action, maximum over the
last two, area-resized to 64×64 RGB. Shapes: B games side by side, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ale_py import ALEInterface, LoggerMode, roms
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from diamond_engine.actions import AtariGame
from diamond_engine.errors import UsageError

FRAME_SIZE = 64
FRAME_SKIP = 4
FRAMES_PER_SECOND = 15.0
NOOP_MAX = 30


@dataclass(frozen=True)
class EmulatorStep:
    """Results of one action in each of B games."""

    frames: NDArray[np.uint8]
    """The frame to act on next, ``(B, H, W, 3)`` RGB; the first frame of the next game if a game ended."""
    successors: NDArray[np.uint8]
    """The frame the action led to, ``(B, H, W, 3)``: differs from ``frames`` only where a game ended.

    A finished game shows no further screen, so this is then (nearly) the frame before it.
    """
    rewards: NDArray[np.float32]
    """Unclipped score change, ``(B,)``."""
    terminated: NDArray[np.bool_]
    """The episode ended, ``(B,)``: the game is over or, with ``end_on_life_loss``, a life was lost."""
    truncated: NDArray[np.bool_]
    """The emulator's own limit of 108,000 frames was reached, ``(B,)``."""
    game_over: NDArray[np.bool_]
    """The whole game ended (and was started anew), ``(B,)``."""


class AtariEmulator:
    """B copies of one game; a game that ends is reset in the same step.

    ``end_on_life_loss`` reports a lost life as the end of an episode without resetting the game (for training).
    Otherwise an episode is a whole game (for evaluation and play). The same seed and actions give the same frames.
    """

    def __init__(
        self, game: AtariGame, num_envs: int = 1, *, seed: int = 0, end_on_life_loss: bool = False, threads: int = 0
    ) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        self.game = game
        self.num_envs = num_envs
        self.end_on_life_loss = end_on_life_loss
        self._seed = seed
        self._lives = np.zeros(num_envs, dtype=np.int64)
        self._envs: Any = AtariVectorEnv(
            game.rom,
            num_envs,
            num_threads=threads,
            autoreset_mode=AutoresetMode.SAME_STEP,
            img_height=FRAME_SIZE,
            img_width=FRAME_SIZE,
            grayscale=False,
            stack_num=1,
            frameskip=FRAME_SKIP,
            noop_max=NOOP_MAX,
            use_fire_reset=False,
            reward_clipping=False,
        )

    def reset(self, seed: int | None = None) -> NDArray[np.uint8]:
        """Starts every game anew (from ``seed`` + its index, if given) and returns the frames ``(B, H, W, 3)``."""
        frames, info = self._envs.reset(seed=self._seed if seed is None else seed)
        self._lives = info["lives"].astype(np.int64)
        return frames[:, 0]

    def step(self, actions: NDArray[np.integer]) -> EmulatorStep:
        """Takes one action ``(B,)``, indices into ``game.actions``, in every game.

        Raises ``UsageError`` for actions that the game does not have (the emulator's threads would wait forever).
        """
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= len(self.game.actions):
            raise UsageError(
                f"{self.game.name} takes {self.num_envs} actions from 0 to {len(self.game.actions) - 1}, not {actions}"
            )
        stacks, rewards, terminated, truncated, info = self._envs.step(actions.astype(np.int64))
        frames: NDArray[np.uint8] = stacks[:, 0]
        game_over: NDArray[np.bool_] = terminated | truncated
        successors = frames
        if game_over.any():
            successors = np.where(game_over[:, None, None, None], info["final_obs"][:, 0], frames)
        lives = info["lives"].astype(np.int64)
        life_lost = ~game_over & (lives < self._lives)
        self._lives = lives
        return EmulatorStep(
            frames=frames,
            successors=successors,
            rewards=rewards.astype(np.float32),
            terminated=(terminated | life_lost) if self.end_on_life_loss else terminated,
            truncated=truncated,
            game_over=game_over,
        )

    def close(self) -> None:
        """Stops the emulator's threads."""
        self._envs.close()


def has_rom(game: AtariGame) -> bool:
    """Whether the installed ``ale-py`` carries this game."""
    return game.rom in roms.get_all_rom_ids() and roms.get_rom_path(game.rom) is not None
