"""Recordings: frames of a first-person game and the action taken at each, read from one HDF5 file.

Two layouts are known. That of the CS:GO data set has a data set for every frame i: ``frame_<i>_x`` uint8 ``(H, W, 3)``
in BGR, ``frame_<i>_y`` ``(51,)``, ``frame_<i>_helperarr`` ``(2,)`` = kill, death. That of this project
(``diamond_engine.episodes``) has ``frames`` uint8 ``(T, H, W, 3)`` in RGB and ``actions`` ``(T, A)``.

Shapes: T frames, A entries of an action (51 of CS:GO), H height, W width.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from diamond_engine.actions import KeyMap, csgo, stated_key_map
from diamond_engine.damage import LARGEST_DATASET, check_stored, read_dataset
from diamond_engine.errors import DiamondError

FACTOR = 5
"""How many times smaller the low-resolution frames are."""
LARGEST_SIDE = 4096
FRAME = re.compile(r"frame_(\d+)_x")


class Recording(Protocol):
    """One open file. Its methods raise ``DiamondError`` naming it."""

    length: int
    """Frames T."""
    size: tuple[int, int]
    """Height H and width W of a frame, multiples of ``FACTOR``."""
    key_map: KeyMap
    """What the A entries of an action are."""

    def frames(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Frames ``(stop - start, H, W, 3)`` RGB."""
        ...

    def actions(self, start: int, stop: int) -> NDArray[np.uint8]:
        """The action taken at each frame, zeros and ones ``(stop - start, A)``."""
        ...

    def events(self) -> NDArray[np.bool_]:
        """Whether the action at each frame led to a kill, and to a death, ``(T, 2)``."""
        ...

    def offsets(self) -> NDArray[np.int64] | None:
        """Offset in the file of the H·W·3 bytes of each frame, BGR, ``(T,)``; None if they are not contiguous."""
        ...


def open_recording(source: Path | bytes, name: str) -> Recording:
    """Opens a file or its bytes. Raises ``DiamondError`` if it is damaged or has neither layout."""
    with _named(name):
        file: Any = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
        if "frames" in file:
            return _EpisodeRecording(file, name)
        if "frame_0_x" in file:
            return _CsgoRecording(file, name, source if isinstance(source, bytes) else None)
    raise DiamondError(f"{name} is no recording: it has neither 'frame_0_x' nor 'frames'")


class _CsgoRecording:
    """In the layout of the CS:GO data set."""

    key_map = csgo.KEY_MAP

    def __init__(self, file: Any, name: str, content: bytes | None) -> None:
        """``content``: the whole file, if it is in memory; frames are then sliced from it, ten times as fast."""
        self._file = file
        self._name = name
        self.length = sum(FRAME.fullmatch(key) is not None for key in file)
        if f"frame_{self.length - 1}_x" not in file:
            raise DiamondError(f"{name} is damaged or cut off: it holds {self.length} frames that are not in a row")
        self.size = _checked_size(file["frame_0_x"].shape, file["frame_0_x"].dtype, name)
        self._content = content
        self._places = None if content is None else self.offsets()

    def frames(self, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Recording.frames``."""
        with _named(self._name):
            return np.stack([self._frame(i) for i in range(start, stop)])[..., ::-1]

    def _frame(self, i: int) -> NDArray[np.uint8]:
        if self._content is None or self._places is None:
            return self._part(i, "x", (*self.size, 3))
        shape = (*self.size, 3)
        return np.frombuffer(self._content, np.uint8, math.prod(shape), self._places[i]).reshape(shape)

    def _part(self, i: int, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """One data set of frame i. Raises ``DiamondError`` if it has another shape."""
        dataset = self._file[f"frame_{i}_{kind}"]
        if dataset.shape != shape:
            raise DiamondError(f"{self._name} is damaged: frame_{i}_{kind} is {dataset.shape}, not {shape}")
        return read_dataset(dataset)

    def actions(self, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Recording.actions``."""
        with _named(self._name):
            rows = [self._part(i, "y", (self.key_map.size,)) for i in range(start, stop)]
            return _zeros_and_ones(rows, self.key_map, self._name)

    def events(self) -> NDArray[np.bool_]:
        """See ``Recording.events``."""
        with _named(self._name):
            return np.stack([self._part(i, "helperarr", (2,)) for i in range(self.length)]) > 0

    def offsets(self) -> NDArray[np.int64] | None:
        """See ``Recording.offsets``."""
        with _named(self._name):
            frames = [self._file[f"frame_{i}_x"] for i in range(self.length)]
            if any(frame.shape != (*self.size, 3) for frame in frames):
                raise DiamondError(f"{self._name} is damaged: its frames are of different sizes")
            places = [frame.id.get_offset() for frame in frames]
        return None if None in places else np.array(places, dtype=np.int64)


class _EpisodeRecording:
    """In the layout of this project's episodes."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self._name = name
        self.length = len(file["frames"])
        check_stored(file["frames"])
        if file["frames"].nbytes > LARGEST_DATASET:
            raise DiamondError(f"{name} has {self.length} frames, which are too many for one file")
        self.size = _checked_size(file["frames"].shape[1:], file["frames"].dtype, name)
        self.key_map = stated_key_map(file.attrs, csgo.KEY_MAP)
        if file["actions"].shape != (self.length, self.key_map.size):
            raise DiamondError(
                f"{name} has actions of shape {file['actions'].shape}: a first-person world needs "
                f"({self.length}, {self.key_map.size}), keys and mouse as in docs/own-game.md"
            )

    def frames(self, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Recording.frames``."""
        with _named(self._name):
            return self._file["frames"][start:stop]

    def actions(self, start: int, stop: int) -> NDArray[np.uint8]:
        """See ``Recording.actions``."""
        with _named(self._name):
            return _zeros_and_ones(self._file["actions"][start:stop], self.key_map, self._name)

    def events(self) -> NDArray[np.bool_]:
        """See ``Recording.events``; a reward counts as a kill."""
        with _named(self._name):
            columns = [read_dataset(self._file[name]) for name in ("rewards", "terminated")]
            if any(column.shape != (self.length,) for column in columns):
                raise DiamondError(f"{self._name} is damaged: {self.length} frames, other numbers of rewards or ends")
            return np.stack([column > 0 for column in columns], axis=1)

    def offsets(self) -> None:
        """See ``Recording.offsets``: the frames are compressed."""


def _checked_size(shape: tuple[int, ...], dtype: Any, name: str) -> tuple[int, int]:
    if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
        raise DiamondError(f"{name} has frames of {dtype} {shape}: they must be uint8 (H, W, 3)")
    height, width, _ = shape
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise DiamondError(f"{name} has frames of {width}x{height}: sides are from {FACTOR} to {LARGEST_SIDE} pixels")
    if height % FACTOR or width % FACTOR:
        raise DiamondError(f"{name} has frames of {width}x{height}: both must be multiples of {FACTOR}")
    return height, width


def _zeros_and_ones(rows: Any, key_map: KeyMap, name: str) -> NDArray[np.uint8]:
    actions = np.asarray(rows)
    if actions.ndim != 2 or actions.shape[1] != key_map.size or not np.isin(actions, (0, 1)).all():
        raise DiamondError(f"{name} has actions that are not {key_map.size} zeros and ones")
    return actions.astype(np.uint8)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Whatever h5py raises becomes one line."""
    try:
        yield
    except DiamondError:
        raise
    except FileNotFoundError as error:
        raise DiamondError(f"{name} is not there") from error
    except Exception as error:  # damaged bytes can raise almost any exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DiamondError(f"{name} is damaged or cut off: {reason}") from error
