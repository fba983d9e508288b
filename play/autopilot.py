"""Autopilots play when the person does not: the world's agent, or the recorded player of the start context."""

from __future__ import annotations

from typing import Protocol

import torch

from diamond_engine.agents import Agent
from diamond_engine.frames import from_numpy
from diamond_engine.runtime import Runtime
from play.actions import Action
from play.sources import Opening
from play.view import Frame, Player


class Autopilot(Protocol):
    """Chooses actions instead of the person."""

    player: Player

    def begin(self, opening: Opening) -> None:
        """Called when an episode starts, or when control is handed over in the middle of one."""
        ...

    def ready(self, step: int) -> bool:
        """Whether it has an action for this step of the episode, counted from 0."""
        ...

    def act(self, frame: Frame, step: int) -> Action:
        """The action for a step, given ``frame`` ``(H, W, 3)``; only if ``ready``."""
        ...

    def run_on(self, runtime: Runtime) -> None:
        """Switches to other kernels on the same device and in the same precision."""
        ...


class AgentAutopilot:
    """A trained agent. It always has an action."""

    player = Player.AGENT

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def begin(self, opening: Opening) -> None:
        """See ``Autopilot.begin``."""
        self._agent.reset()

    def ready(self, step: int) -> bool:
        """See ``Autopilot.ready``."""
        return True

    def act(self, frame: Frame, step: int) -> Action:
        """See ``Autopilot.act``."""
        return int(self._agent.act(from_numpy(frame[None], torch.device("cpu")))[0])

    def run_on(self, runtime: Runtime) -> None:
        """See ``Autopilot.run_on``."""
        self._agent.run_on(runtime)


class RecordedAutopilot:
    """The player recorded at the start context: repeats the recorded action of each step."""

    player = Player.RECORDED

    def __init__(self) -> None:
        self._recorded: tuple[Action, ...] = ()

    def begin(self, opening: Opening) -> None:
        """See ``Autopilot.begin``."""
        self._recorded = opening.recorded

    def ready(self, step: int) -> bool:
        """See ``Autopilot.ready``."""
        return step < len(self._recorded)

    def act(self, frame: Frame, step: int) -> Action:
        """See ``Autopilot.act``."""
        return self._recorded[step]

    def run_on(self, runtime: Runtime) -> None:
        """Does nothing: no networks."""
