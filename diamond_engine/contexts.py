"""Start contexts: short pieces of real play from which dreams start.

Shapes: N contexts, L context length, K full-resolution frames, M recorded actions, A entries of an action vector,
B games side by side, H height, W width (h, w before upsampling).
"""

from __future__ import annotations

import io
from collections import deque
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diamond_engine.damage import map_array, read_arrays, reading
from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path
from diamond_engine.games import Game


@dataclass(frozen=True)
class StartContexts:
    """A batch of start contexts."""

    frames: NDArray[np.uint8]
    """What the dynamics model sees, ``(N, L, h, w, 3)`` RGB, oldest first."""
    actions: NDArray[np.integer]
    """Actions between the frames: indices ``(N, L-1)``, or vectors ``(N, L-1, A)`` of zeros and ones."""
    full_res: NDArray[np.uint8] | None = None
    """For a world with an upsampler: the newest frames at full resolution, ``(N, K, H, W, 3)``, oldest first."""
    recorded: NDArray[np.integer] | None = None
    """What the recorded player did next, ``(N, M)`` or ``(N, M, A)``: entry t is the action of step t of the dream."""

    def __len__(self) -> int:
        return len(self.frames)

    def take(self, chosen: NDArray[np.integer]) -> StartContexts:
        """The contexts with the given indices ``(n,)``."""
        return StartContexts(
            **{name: array[chosen] for name, array in self.arrays().items()}  # pyright: ignore[reportArgumentType]
        )

    def arrays(self) -> dict[str, NDArray[np.integer]]:
        """The arrays that are not None, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in named.items() if array is not None}


def read_contexts(path: Path) -> StartContexts:
    """Reads start contexts. Raises ``DiamondError`` if the file is damaged or its arrays do not fit together."""
    with reading(path, "holds no start contexts (truncated or damaged)"):
        arrays = read_arrays(path)
        contexts = StartContexts(arrays["frames"], arrays["actions"], arrays.get("full_res"), arrays.get("recorded"))
        frames, actions = contexts.frames, contexts.actions
        if frames.ndim != 5 or frames.dtype != np.uint8 or actions.shape[:2] != (len(frames), frames.shape[1] - 1):
            raise DiamondError(f"{path} holds no valid start contexts: frames {frames.shape}, actions {actions.shape}")
        if any(len(array) != len(frames) or array.dtype.kind not in "iu" for array in contexts.arrays().values()):
            raise DiamondError(f"{path} holds no valid start contexts: one array does not go with the others")
    return contexts


def read_spawn_folders(folder: Path) -> StartContexts:
    """Reads start contexts in the authors' layout: one folder each, ``0``, ``1``, …, of four ``.npy`` files, all uint8.

    ``low_res`` ``(L, 3, h, w)``, ``full_res`` ``(K, 3, H, W)``, ``act`` ``(L, A)``, the action taken at each frame,
    and ``next_act`` ``(M, A)``, the actions that followed. Raises ``DiamondError`` naming the file that is missing,
    damaged or of another shape than in the other folders.
    """
    spawns = sorted((path for path in folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    if not spawns:
        raise DiamondError(f"{folder} holds no start contexts: it needs the folders 0, 1, … of the published spawns")
    low_res, full_res = (
        np.ascontiguousarray(np.moveaxis(_stack(spawns, name, axes=4), 2, -1)) for name in ("low_res", "full_res")
    )
    act, next_act = (_stack(spawns, name, axes=2) for name in ("act", "next_act"))
    if act.shape[1] != low_res.shape[1] or act.shape[2] != next_act.shape[2]:
        shapes = f"low_res {low_res.shape}, act {act.shape}, next_act {next_act.shape}"
        raise DiamondError(f"{folder} holds no valid start contexts: {shapes}")
    return StartContexts(low_res, act[:, :-1], full_res, np.concatenate((act[:, -1:], next_act), axis=1))


def _stack(spawns: list[Path], name: str, axes: int) -> NDArray[np.uint8]:
    """One array of all spawn folders, stacked along a new first axis."""
    arrays: list[NDArray[np.uint8]] = []
    for folder in spawns:
        path = folder / f"{name}.npy"
        if not path.exists():
            raise DiamondError(f"missing {path}")
        with reading(path, "is not a readable array (truncated or damaged): download it again"):
            array = map_array(path)
        expected = arrays[0].shape if arrays else array.shape
        if array.dtype != np.uint8 or array.ndim != axes or array.shape != expected:
            raise DiamondError(f"{path} holds {array.dtype} {array.shape}, expected uint8 {expected} in {axes} axes")
        arrays.append(array)
    return np.stack(arrays)


def write_contexts(path: Path, contexts: StartContexts) -> None:
    """Writes start contexts atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **contexts.arrays())
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def collect_contexts(game: Game, length: int, *, count: int = 32, every: int = 10, seed: int = 0) -> StartContexts:
    """Collects contexts of ``length`` frames from two emulator games under random play, one every ``every`` steps.

    No context spans a lost life or the end of a game. The same seed gives the same contexts. Raises ``DiamondError``
    if the emulator lacks the game.
    """
    from diamond_engine.emulators import open_emulator

    emulator = open_emulator(game, num_envs=2, seed=seed, end_on_life_loss=True)
    rng = np.random.default_rng(seed)
    frames = deque([emulator.reset()], maxlen=length)
    actions: deque[NDArray[np.int64]] = deque(maxlen=length - 1)
    age = np.zeros(emulator.num_envs, dtype=np.int64)
    found: list[StartContexts] = []
    step = 0
    while sum(map(len, found)) < count:
        actions.append(rng.integers(len(game.actions), size=emulator.num_envs))
        result = emulator.step(actions[-1])
        frames.append(result.frames)
        age = np.where(result.terminated | result.truncated, 0, age + 1)
        step += 1
        if step % every == 0 and step >= length:
            whole = age >= length - 1
            found.append(StartContexts(np.stack(frames, axis=1)[whole], np.stack(actions, axis=1)[whole]))
    emulator.close()
    return StartContexts(
        np.concatenate([contexts.frames for contexts in found])[:count],
        np.concatenate([contexts.actions for contexts in found])[:count],
    )
