"""The real Atari games, batched: ``ale_py.AtariVectorEnv`` set up as in the Atari 100k benchmark (Appendix D).

NoFrameskip ROMs, minimal action set, no sticky actions, up to 30 no-op starts, 4 frames an action, maximum over the
last two, area-resized to 64×64 RGB (or as large as the game says). Shapes: B games side by side, H height, W width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ale_py import ALEInterface, LoggerMode, roms
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from diamond_engine.emulators.emulator import EmulatorStep, check_actions
from diamond_engine.games import Game

FRAME_SKIP = 4
NOOP_MAX = 30


class AtariEmulator:
    """B copies of one game; a game that ends is reset in the same step.

    ``end_on_life_loss`` reports a lost life as the end of an episode without resetting the game (for training).
    Otherwise an episode is a whole game (for evaluation and play). The same seed and actions give the same frames.
    """

    def __init__(
        self, game: Game, num_envs: int = 1, *, seed: int = 0, end_on_life_loss: bool = False, threads: int = 0
    ) -> None:
        ALEInterface.setLoggerMode(LoggerMode.Error)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        self.game = game
        self.num_envs = num_envs
        self.end_on_life_loss = end_on_life_loss
        self._seed = seed
        self._lives = np.zeros(num_envs, dtype=np.int64)
        self._envs: Any = AtariVectorEnv(
            game.emulator.partition(":")[2],
            num_envs,
            num_threads=threads,
            autoreset_mode=AutoresetMode.SAME_STEP,
            img_height=game.frame_height,
            img_width=game.frame_width,
            grayscale=False,
            stack_num=1,
            frameskip=FRAME_SKIP,
            noop_max=NOOP_MAX,
            use_fire_reset=False,
            reward_clipping=False,
        )

    def reset(self, seed: int | None = None) -> NDArray[np.uint8]:
        """See ``Emulator.reset``."""
        frames, info = self._envs.reset(seed=self._seed if seed is None else seed)
        self._lives = info["lives"].astype(np.int64)
        return frames[:, 0]

    def step(self, actions: NDArray[np.integer]) -> EmulatorStep:
        """See ``Emulator.step``. Actions that the game does not have would make the emulator's threads wait forever."""
        check_actions(self.game, self.num_envs, actions)
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


def has_rom(game: Game) -> bool:
    """Whether the installed ``ale-py`` carries this game."""
    rom = game.emulator.partition(":")[2]
    return rom in roms.get_all_rom_ids() and roms.get_rom_path(rom) is not None
