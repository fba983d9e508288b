"""What passes between a session and those who watch and command it: values that need no torch.

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
    """What a source makes its frames with."""

    DREAM = "dream"
    EMULATOR = "emulator"
    BESIDE = "dream | real"
    """Both, side by side, under the same actions."""


@dataclass(frozen=True)
class Loading:
    """There is nothing to see yet."""

    line: str
    """What is being done."""


class Player(StrEnum):
    """Who chooses the actions."""

    PERSON = "person"
    AGENT = "agent"
    RECORDED = "recorded player"


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


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A session at one moment, for the window to draw; equal to itself alone."""

    frame: Frame
    """The newest frame, ``(H, W, 3)`` RGB."""
    low_res: Frame | None
    """The same before upsampling, ``(h, w, 3)`` RGB; None where the world draws its frames in one stage."""
    title: str
    """Name of the game."""
    origin: Origin | None
    """What made the frame; None where there is only one source."""
    player: Player
    """Who plays."""
    gesture: Gesture
    """The last action."""
    step: int
    """Steps of this episode."""
    horizon: int
    """Steps after which a dream ends."""
    context: tuple[int, int] | None
    """Number of the start context, and how many there are; None where the source draws one."""
    episode_return: float | None
    """Sum of the rewards of this episode; None where the world has none."""
    paused: bool
    """Whether the session waits."""
    recording: bool
    """Whether frames are being recorded."""
    compiled: bool
    """Whether networks run by kernels built for this machine."""
    message: str
    """One line to show, often empty."""
    frames: int
    """Steps played in all episodes."""
    frame_rate: float
    """Frames a second of the world's natural speed."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of the last step by stage of the world model, where it has more than one."""
    fps: float = 0.0
    """Frames a second over the last second, 0 before there are two."""
    stamp: int = 0
    """The newest stamp of the input that the frame answers."""
    step_ms: float = 0.0
    """Milliseconds that the last step took: agent, world model, and the frame's way back."""

    @property
    def action(self) -> str:
        """The last action in words."""
        return self.gesture.words

    @property
    def person_moves(self) -> bool:
        """Whether a person is moving in it now."""
        return self.player is Player.PERSON and not self.paused
