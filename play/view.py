"""What passes between a session and those who watch and command it: values that need no torch.

Shapes: H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

import numpy as np
from numpy.typing import NDArray


class Origin(StrEnum):
    """What a source makes its frames with."""

    DREAM = "dream"
    EMULATOR = "emulator"


@dataclass(frozen=True)
class Loading:
    """There is nothing to see yet."""

    line: str
    """What is being done."""


class Player(StrEnum):
    """Who chooses the actions."""

    PERSON = "person"
    AGENT = "agent"


class Command(Enum):
    """What can be asked of a session while it runs."""

    HAND_OVER = auto()
    RESET = auto()
    PAUSE = auto()
    SINGLE_STEP = auto()
    LONGER_HORIZON = auto()
    SHORTER_HORIZON = auto()
    SWITCH_SOURCE = auto()
    RECORD = auto()


@dataclass(frozen=True)
class Snapshot:
    """A session at one moment, for the window to draw."""

    frame: NDArray[np.uint8]
    """The newest frame, ``(H, W, 3)`` RGB."""
    game: str
    """Name of the game."""
    origin: Origin
    """What made the frame."""
    player: Player
    """Who plays."""
    action: str
    """The emulator's name of the last action."""
    step: int
    """Steps of this episode."""
    horizon: int
    """Steps after which a dream ends."""
    episode_return: float
    """Sum of the rewards of this episode."""
    paused: bool
    """Whether the session waits."""
    recording: bool
    """Whether frames are being recorded."""
    message: str
    """One line to show, often empty."""
    frames: int
    """Steps played in all episodes."""
    fps: float = 0.0
    """Frames a second over the last second, 0 before there are two."""
    step_ms: float = 0.0
    """Milliseconds that the last step took: agent, world model, and the frame's way back."""
