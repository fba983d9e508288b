"""Values that pass between a session and its viewers, without torch.

Shapes: H height, W width; h, w before upsampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

import numpy as np
from numpy.typing import NDArray

from play.actions import Gesture

Frame = NDArray[np.uint8]


class Origin(StrEnum):
    """Kind of a source."""

    DREAM = "dream"
    EMULATOR = "emulator"
    BESIDE = "dream | real"
    """Both side by side, under the same actions."""


@dataclass(frozen=True)
class Loading:
    """The view while there is no frame yet."""

    line: str
    """The loading step, in words."""


class Player(StrEnum):
    """Who chooses the actions."""

    PERSON = "person"
    AGENT = "agent"
    RECORDED = "recorded player"


class Command(Enum):
    """Commands to a running session."""

    HAND_OVER = auto()
    RESET = auto()
    PAUSE = auto()
    SINGLE_STEP = auto()
    LONGER_HORIZON = auto()
    SHORTER_HORIZON = auto()
    SWITCH_SOURCE = auto()
    RECORD = auto()


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A session at one moment, for the window to draw. Compared by identity."""

    frame: Frame
    """The newest frame, ``(H, W, 3)`` RGB."""
    low_res: Frame | None
    """The same before upsampling, ``(h, w, 3)`` RGB; None if the world has one stage."""
    title: str
    """Name of the game."""
    origin: Origin | None
    """Source of the frame; None if there is only one source."""
    player: Player
    """The player."""
    gesture: Gesture
    """The last action."""
    step: int
    """Steps of this episode."""
    horizon: int
    """Steps after which a dream ends."""
    context: tuple[int, int] | None
    """Number of the start context, and how many there are; None if it was drawn at random."""
    episode_return: float | None
    """Sum of the rewards of this episode; None without rewards."""
    paused: bool
    """Whether the session is paused."""
    recording: bool
    """Whether frames are being recorded."""
    compiled: bool
    """Whether networks run on kernels built for this machine."""
    message: str
    """One line to show, often empty."""
    frames: int
    """Steps played in all episodes."""
    frame_rate: float
    """Frames a second of the world's natural speed."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of each stage in the last step, if the world model has more than one."""
    fps: float = 0.0
    """Frames a second over the last second, 0 before there are two."""
    stamp: int = 0
    """The newest input stamp that the frame includes."""
    step_ms: float = 0.0
    """Milliseconds of the last step: agent, world model, and copying the frame back."""

    @property
    def action(self) -> str:
        """The last action in words."""
        return self.gesture.words

    @property
    def person_moves(self) -> bool:
        """Whether a person controls the game now."""
        return self.player is Player.PERSON and not self.paused
