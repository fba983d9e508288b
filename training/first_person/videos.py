"""Episodes of any game from plain videos and input logs (``diamond-train import-videos``).

A log is beside its video, ``play.csv`` or ``play.jsonl`` beside ``play.mp4``. A row lists what is down from its time
on, and the mouse's motion since the row before: ``time`` in seconds of the video, ``keys`` (of the game's ``KeyMap``;
in CSV joined by ``+``), ``mouse_x``, ``mouse_y``, ``left_click``, ``right_click``.

Shapes: A entries of an action, H height, W width.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from diamond_engine.actions import HandAction, KeyMap, csgo, stated_key_map
from diamond_engine.configs import read_config
from diamond_engine.episodes import Episode, EpisodeFolder, open_episode
from diamond_engine.errors import DiamondError, UsageError
from training.first_person.recordings import FACTOR, LARGEST_SIDE
from training.runs.progress import make_console

PIECE = 1000
"""Frames of an episode."""
FRAME_SIZE = (280, 150)
"""Width and height."""
SMALLEST_SIDE = 40
"""Of a frame: an eighth of that is what the lowest level of the dynamics model sees of frames a fifth as large."""
VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi")
SEPARATORS = (",", ";", "\t")
EARLIER = 1e-6
LARGEST_PICTURE = 7680 * 4320
"""Pixels of a video's frame."""
LONGEST_STILL = 600.0
"""Seconds until the next frame of a video; more is a damaged time."""


@dataclass(frozen=True)
class Row:
    """One row of a log."""

    time: float
    """Seconds since the start of the video."""
    action: HandAction
    """Keys and buttons down from then on; the motion is that since the row before."""


@dataclass(frozen=True)
class VideoImport:
    """Settings of an import."""

    out: Path
    """Folder of episodes; earlier imports are kept."""
    frame_rate: float = 16.0
    """Frames a second to take."""
    size: tuple[int, int] = FRAME_SIZE
    """Width and height of the episodes' frames, as ``parsed_size`` takes them."""
    key_map: KeyMap = csgo.KEY_MAP
    """What of keyboard and mouse an action holds."""
    console: Console = field(default_factory=make_console)
    """Console for messages and progress."""

    def run(self, paths: Sequence[Path]) -> None:
        """Imports videos, given or in folders, each with the log beside it.

        Raises ``UsageError`` if there is no video or no log, and where the episodes in ``out`` are of another size or
        key map; ``DiamondError`` naming a bad row or video.
        """
        videos = [(video, _log_of(video)) for path in paths for video in _videos(path)]
        if not videos:
            raise UsageError(f"no videos in {', '.join(map(str, paths))}: give {', '.join(VIDEOS)}")
        logs = [read_log(log, self.key_map) for _, log in videos]
        self.out.mkdir(parents=True, exist_ok=True)
        folder = EpisodeFolder(self.out)
        known = {self._origin(path) for path in folder.paths}
        for (video, _), log in zip(videos, logs, strict=True):
            before = folder.num_steps
            for number, (frames, final) in enumerate(_pieces(frames_at(video, self.frame_rate, self.size))):
                if (video.name, number) not in known:
                    first = number * PIECE
                    actions = actions_at(log, first, first + len(frames), self.frame_rate, self.key_map)
                    folder.append(self._episode(video, number, frames, actions, final))
            self.console.print(f"{video}: {folder.num_steps - before} steps")
        self.console.print(f"{self.out} holds {len(folder)} episodes of {folder.num_steps} steps")

    def _episode(
        self,
        video: Path,
        number: int,
        frames: NDArray[np.uint8],
        actions: NDArray[np.uint8],
        final: NDArray[np.uint8],
    ) -> Episode:
        steps = len(frames)
        truncated = np.arange(steps) == steps - 1
        nothing = np.zeros(steps, dtype=np.float32)
        origin: dict[str, str | int | float] = {"video": video.name, "piece": number, "frame_rate": self.frame_rate}
        if self.key_map != csgo.KEY_MAP:
            origin["key_map"] = self.key_map.to_json()
        return Episode(frames, actions, nothing, nothing > 0, truncated, final, origin)

    def _origin(self, episode: Path) -> tuple[str, int]:
        """The video of an episode and which piece of it. Raises ``UsageError`` for one that these do not go with."""
        with open_episode(episode) as file:
            height, width = file["frames"].shape[1:3]
            if (width, height) != self.size:
                raise UsageError(
                    f"{self.out} holds frames of {width}x{height}: give --size {width}x{height}, or another"
                )
            if stated_key_map(file.attrs, csgo.KEY_MAP) != self.key_map:
                raise UsageError(f"{self.out} holds episodes of another key map: give that one, or another --out")
            return str(file.attrs.get("video")), int(file.attrs.get("piece", 0))


def parsed_size(text: str) -> tuple[int, int]:
    """Width and height of frames that a first-person world takes. Raises ``UsageError`` for others."""
    sides = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text.strip())
    size = (int(sides[1]), int(sides[2])) if sides else (0, 0)
    if any(side % FACTOR or not SMALLEST_SIDE <= side <= LARGEST_SIDE for side in size):
        wanted = f"multiples of {FACTOR} from {SMALLEST_SIDE} to {LARGEST_SIDE}"
        raise UsageError(f"--size takes width and height such as 280x150, both {wanted}, not {text!r}")
    return size


def read_key_map(path: Path | None) -> KeyMap:
    """A key map from YAML with the fields of ``KeyMap``; without a file that of CS:GO.

    Raises ``UsageError`` for a file that is missing or says what cannot be.
    """
    try:
        return csgo.KEY_MAP if path is None else read_config(KeyMap, path)
    except DiamondError as error:
        raise UsageError(str(error)) from error


def read_log(path: Path, key_map: KeyMap = csgo.KEY_MAP) -> list[Row]:
    """The rows of a log. Raises ``DiamondError`` naming the first bad line, also where the time runs backwards."""
    is_table = path.suffix == ".csv"
    rows: list[Row] = []
    number = 2 if is_table else 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for values in _table(file) if is_table else map(_from_json, file):
                if values is not None:
                    row = _row(values, key_map)
                    if rows and row.time < rows[-1].time:
                        raise ValueError(f"time {row.time:g} after {rows[-1].time:g}: it runs backwards")
                    rows.append(row)
                number += 1
    except OSError as error:
        raise DiamondError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DiamondError(f"{path} is not text in UTF-8: save it as that") from error
    except Exception as error:  # a damaged line can raise almost any exception
        raise DiamondError(f"{path}, line {number}: {error or type(error).__name__}") from error
    return rows


def _table(file: TextIO) -> Iterator[dict[str, Any] | None]:
    """Rows of a CSV file, None for an empty one; spreadsheets also separate by semicolons or tabs.

    With semicolons, the decimal sign may be a comma.
    """
    header = file.readline()
    separator = max(SEPARATORS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
    for cells in csv.reader(file, delimiter=separator):
        if separator == ";":
            cells = [cell.replace(",", ".") for cell in cells]
        yield dict(zip(names, cells, strict=False)) if any(cells) else None


def _from_json(line: str) -> Any:
    return json.loads(line) if line.strip() else None


def _row(values: dict[str, Any], key_map: KeyMap) -> Row:
    keys = values.get("keys") or ()
    named = tuple(key.strip() for key in keys.split("+")) if isinstance(keys, str) else tuple(keys)
    time, x, y = (float(values.get(name) or 0) for name in ("time", "mouse_x", "mouse_y"))
    if "time" not in values or not math.isfinite(time + x + y):
        raise ValueError("it needs a time, and finite numbers")
    left, right = (_is_down(values.get(name)) for name in ("left_click", "right_click"))
    action = HandAction(named, x, y, left, right)
    key_map.encode(action)
    return Row(time, action)


def _is_down(value: Any) -> bool:
    text = str(value or 0).strip().lower()
    if text not in ("0", "1", "true", "false"):
        raise ValueError(f"a click is 0, 1, true or false, not {value!r}")
    return text in ("1", "true")


def actions_at(
    log: Sequence[Row], start: int, stop: int, frame_rate: float, key_map: KeyMap = csgo.KEY_MAP
) -> NDArray[np.uint8]:
    """The actions of frames ``start`` to ``stop``, zeros and ones ``(stop - start, A)``.

    A frame's action contains everything down at any time until the next frame, and the mouse's total motion until then.
    """
    times = np.array([row.time for row in log])
    borders = np.searchsorted(times, np.arange(start, stop + 1) / frame_rate - EARLIER)
    return np.stack([key_map.encode(_together(log, first, last)) for first, last in pairwise(borders)])


def _together(log: Sequence[Row], first: int, last: int) -> HandAction:
    during = [row.action for row in log[first:last]]
    down = [row.action for row in log[max(0, first - 1) : first]] + during
    return HandAction(
        keys=tuple(dict.fromkeys(key for action in down for key in action.keys)),
        mouse_x=sum(action.mouse_x for action in during),
        mouse_y=sum(action.mouse_y for action in during),
        left_click=any(action.left_click for action in down),
        right_click=any(action.right_click for action in down),
    )


def frames_at(video: Path, frame_rate: float, size: tuple[int, int] = FRAME_SIZE) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video at a given rate, uint8 ``(H, W, 3)`` RGB of a size, width and height, the right way up.

    The video's own rate may vary: at any time its newest frame is taken. Raises ``DiamondError`` for a bad file.
    """
    ticks, time = 0, 0.0
    shown: NDArray[np.uint8] | None = None
    try:
        with av.open(str(video)) as container:
            container.streams.video[0].codec_context.options = {"max_pixels": str(LARGEST_PICTURE)}
            for frame in container.decode(video=0):
                if frame.width * frame.height > LARGEST_PICTURE or (frame.time or 0.0) - time > LONGEST_STILL:
                    raise DiamondError(f"{video} is damaged after {time:.1f} s")
                time = frame.time or 0.0
                while shown is not None and ticks / frame_rate < time - EARLIER:
                    yield shown
                    ticks += 1
                image = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                resized = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
                shown = np.asarray(resized, dtype=np.uint8)
    except DiamondError:
        raise
    except av.error.FFmpegError as error:
        raise DiamondError(f"{video} is not a readable video: {error.strerror}") from error
    except IndexError as error:
        raise DiamondError(f"{video} holds no pictures") from error
    except Exception as error:  # damaged bytes can raise almost any exception
        raise DiamondError(f"{video} is not a readable video: {error or type(error).__name__}") from error
    if shown is not None and ticks / frame_rate <= time + EARLIER:
        yield shown


def _pieces(frames: Iterator[NDArray[np.uint8]]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Splits frames into episodes, each with its final frame."""
    kept: list[NDArray[np.uint8]] = []
    for frame in frames:
        kept.append(frame)
        if len(kept) > PIECE:
            yield np.stack(kept[:PIECE]), kept[PIECE]
            del kept[:PIECE]
    if len(kept) > 1:
        yield np.stack(kept[:-1]), kept[-1]


def _videos(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEOS)
    if not path.is_file():
        raise UsageError(f"no such video: {path}")
    return [path]


def _log_of(video: Path) -> Path:
    for suffix in (".csv", ".jsonl"):
        if video.with_suffix(suffix).is_file():
            return video.with_suffix(suffix)
    raise UsageError(f"{video} has no log: put {video.stem}.csv or {video.stem}.jsonl beside it (docs/own-game.md)")
