"""Start contexts: short pieces of real play from which a dream goes on.

Shapes: N contexts, L context length, B games side by side, H height, W width.
"""

from __future__ import annotations

import io
import zipfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diamond_engine.actions import AtariGame
from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path


@dataclass(frozen=True)
class Spawns:
    """Real contexts to start from."""

    frames: NDArray[np.uint8]
    """``(N, L, H, W, 3)``, oldest first."""
    actions: NDArray[np.int64]
    """Actions between the frames, ``(N, L-1)``."""

    def __len__(self) -> int:
        return len(self.frames)


def read_spawns(path: Path) -> Spawns:
    """Reads start contexts. Raises ``DiamondError`` where the file is damaged or its arrays do not fit together."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            spawns = Spawns(arrays["frames"], arrays["actions"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DiamondError(f"{path} holds no start contexts (truncated or damaged)") from error
    frames, actions = spawns.frames, spawns.actions
    if frames.ndim != 5 or frames.dtype != np.uint8 or actions.shape != (len(frames), frames.shape[1] - 1):
        raise DiamondError(f"{path} holds no valid start contexts: frames {frames.shape}, actions {actions.shape}")
    return spawns


def write_spawns(path: Path, spawns: Spawns) -> None:
    """Writes start contexts atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, frames=spawns.frames, actions=spawns.actions)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def collect_spawns(game: AtariGame, length: int, *, count: int = 32, every: int = 10, seed: int = 0) -> Spawns:
    """Contexts of ``length`` frames from the real emulator, played at random: one every ``every`` steps of two games.

    No context spans a lost life or the end of a game. Same seed, same contexts. Raises ``DiamondError`` where the
    emulator lacks the game.
    """
    from diamond_engine.emulator import AtariEmulator, has_rom

    if not has_rom(game):
        raise DiamondError(f"the emulator has no ROM of {game.name}: reinstall it with 'pip install --upgrade ale-py'")
    emulator = AtariEmulator(game, num_envs=2, seed=seed, end_on_life_loss=True)
    rng = np.random.default_rng(seed)
    frames = deque([emulator.reset()], maxlen=length)
    actions: deque[NDArray[np.int64]] = deque(maxlen=length - 1)
    age = np.zeros(emulator.num_envs, dtype=np.int64)
    found: list[Spawns] = []
    step = 0
    while sum(map(len, found)) < count:
        actions.append(rng.integers(len(game.actions), size=emulator.num_envs))
        result = emulator.step(actions[-1])
        frames.append(result.frames)
        age = np.where(result.terminated | result.truncated, 0, age + 1)
        step += 1
        if step % every == 0 and step >= length:
            whole = age >= length - 1
            found.append(Spawns(np.stack(frames, axis=1)[whole], np.stack(actions, axis=1)[whole]))
    emulator.close()
    return Spawns(
        np.concatenate([spawns.frames for spawns in found])[:count],
        np.concatenate([spawns.actions for spawns in found])[:count],
    )
