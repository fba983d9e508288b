"""What all kinds of dreams share: their memory, and a step that draws and judges the next frame of each, in place.

Shapes: B dreams, L context length, C channels, A entries of an action vector, H height, W width (h, w before
upsampling).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from diamond_engine.contexts import StartContexts

OnStage = Callable[[str, Tensor], None]
"""Called with the name of a stage and the frames ``(B, C, H, W)`` it drew, which are valid until the next step."""


@dataclass(frozen=True)
class Memory:
    """The state of dreams. Its tensors change in place and keep their place in memory."""

    frames: Tensor
    """The newest frames of the dynamics model, ``(B, L, C, h, w)``, oldest first."""
    actions: Tensor
    """The action taken at each frame, ``(B, L)`` or ``(B, L, A)``; the last entry is the action to take."""
    rewards: Tensor
    """Rewards of the last step, ``(B,)``."""
    ends: Tensor
    """Whether the last step ended the dream, bool ``(B,)``."""

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors."""
        return [self.frames, self.actions, self.rewards, self.ends]

    @property
    def shown(self) -> Tensor:
        """The newest frame to show, ``(B, C, H, W)``."""
        return self.frames[:, -1]

    @property
    def low_res(self) -> Tensor | None:
        """The newest frame before upsampling, ``(B, C, h, w)``, where there is any."""
        return None

    def begin(self, where: Tensor, start: Any) -> None:
        """Restarts the dreams where mask ``(B,)`` holds from those of ``start``, in order. Rewards and ends stay.

        ``start`` is a memory of the same kind.
        """
        self.frames[where], self.actions[where] = start.frames, start.actions


OwnMemory = TypeVar("OwnMemory", bound=Memory)


class FrameStep(Protocol[OwnMemory]):
    """How a kind of world dreams."""

    recordable: bool
    """Whether ``draw`` does the same whenever it is called, without asking the device for anything."""

    def begin(self, start: StartContexts) -> OwnMemory:
        """Dreams at real contexts: the next action is blank, and nothing was judged."""
        ...

    def draw(self, memory: OwnMemory) -> None:
        """Takes the last of the memory's actions; then there is a blank one for the next."""
        ...


def push(past: Tensor, newest: Tensor) -> None:
    """``(B, T, …)``, of which the oldest goes as the newest ``(B, …)`` comes, in place."""
    past.copy_(torch.cat((past[:, 1:], newest[:, None]), dim=1))
