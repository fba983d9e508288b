"""Videos of play, in large pixels. Shapes: H height, W width."""

from __future__ import annotations

import queue
import threading
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path

ROWS = 384
"""Frames are enlarged by a whole number to at most about this many rows of pixels."""


class _DiscardError(Exception):
    """Unwinds the encoder so that no file is left."""


class VideoWriter:
    """Writes an H.264 file, encoded on its own thread. The file appears only when it is complete."""

    def __init__(self, path: Path, frame_rate: float) -> None:
        self.path = path
        self._frame_rate = Fraction(frame_rate).limit_denominator(1001)
        self._frames: queue.SimpleQueue[NDArray[np.uint8] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._discarded = False
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)
        self._thread.start()

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Appends a frame ``(H, W, 3)`` RGB; all frames have one size."""
        if self._error is None:
            self._frames.put(frame)

    def finish(self) -> None:
        """Waits until the file is complete. Raises ``DiamondError`` if it cannot be written or has no frames."""
        self._end()
        if self._error is not None:
            raise DiamondError(f"cannot write the video {self.path}: {self._error}") from self._error

    def discard(self) -> None:
        """Stops and leaves no file."""
        self._discarded = True
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finishes the file, or discards it after an exception."""
        if kind is None:
            self.finish()
        else:
            self.discard()

    def _end(self) -> None:
        self._frames.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with atomic_path(self.path) as temporary:
                self._encode(temporary)
        except Exception as error:  # for the thread that asks for the file
            self._error = error

    def _encode(self, path: Path) -> None:
        first = self._next()
        if first is None:
            raise DiamondError("nothing was played")
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=self._frame_rate, options={"preset": "veryfast", "crf": "16"})
            stream.pix_fmt = "yuv420p"
            scale = max(1, ROWS // len(first))
            stream.height, stream.width = (side * scale for side in first.shape[:2])
            frame: NDArray[np.uint8] | None = first
            while frame is not None:
                pixels = frame.repeat(scale, axis=0).repeat(scale, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                frame = self._next()
            container.mux(stream.encode(None))

    def _next(self) -> NDArray[np.uint8] | None:
        frame = self._frames.get()
        if self._discarded:
            raise _DiscardError
        return frame
