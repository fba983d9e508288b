"""A session of play: who plays, in which source, how far it dreams, paused or not. No threads, no clock, no window.

Shapes: H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.actions import AtariGame, Button
from diamond_engine.agents import Agent
from diamond_engine.errors import DiamondError
from diamond_engine.frames import from_numpy
from play.recording import EpisodeLog, Header, Recorder
from play.sources import Source, Transition
from play.view import Command, Origin, Player, Snapshot

HORIZON_STEP = 5
MESSAGE_FRAMES = 45


@dataclass
class Episode:
    """The episode being played."""

    frame: NDArray[np.uint8]
    """The newest frame, ``(H, W, 3)`` RGB."""
    log: EpisodeLog
    """How it came about."""
    total: float = 0.0
    """Sum of the rewards."""
    action: int = 0
    """The last action."""
    over: bool = False
    """Whether the next step starts another episode."""


@dataclass(frozen=True)
class Settings:
    """How a session begins."""

    seed: int = 0
    """Episode k starts from seed + k."""
    horizon: int = 50
    """Steps after which a dream ends."""
    player: Player = Player.PERSON
    """Who plays first."""
    origin: Origin = Origin.DREAM
    """The first source."""


@dataclass(frozen=True)
class Stage:
    """What a session is played on."""

    game: AtariGame
    """The action space."""
    frame_rate: float
    """Frames a second of the game's natural speed."""
    header: Header
    """World, sampler, device and precision in words."""
    sources: Mapping[Origin, Callable[[], Source]]
    """Opens a source; called when it is first wanted."""
    agent: Agent | None
    """The world's agent, where it has one."""
    start_recording: Callable[[], Recorder]
    """Begins a recording."""


class Session:
    """One game being played; all of it belongs to one thread."""

    def __init__(self, stage: Stage, settings: Settings) -> None:
        """Starts the first episode. Raises ``DiamondError`` where the first source cannot be opened."""
        self.stage = stage
        self.player = settings.player
        self.horizon = settings.horizon
        self.paused = False
        self.frames = 0
        """Steps played in all episodes."""
        self._next_seed = settings.seed
        self._opened: dict[Origin, Source] = {}
        self._recorder: Recorder | None = None
        self._single_step = False
        self._message, self._message_until = "", 0
        self._begin(self._open(settings.origin))

    @property
    def due(self) -> bool:
        """Whether the session wants to advance now: it is not paused, or a single step was asked for."""
        return not self.paused or self._single_step

    def advance(self, buttons: frozenset[Button]) -> NDArray[np.uint8]:
        """Plays one step with a person's buttons (the agent ignores them) and returns its frame ``(H, W, 3)``.

        Where the last episode is over, a new one starts first.
        """
        self._single_step = False
        if self._episode.over:
            self._begin(self._source)
        episode = self._episode
        episode.action = self._choose(buttons)
        transition = self._source.step(episode.action)
        episode.frame = transition.frame
        episode.total += transition.reward
        episode.log.append(episode.action, transition.frame)
        self.frames += 1
        if self._recorder is not None:
            self._recorder.write(transition.frame)
        self._judge(transition)
        return transition.frame

    def obey(self, command: Command) -> None:
        """Carries out a command; what it cannot do becomes the message."""
        try:
            self._carry_out(command)
        except DiamondError as error:
            self._say(str(error))

    def snapshot(self) -> Snapshot:
        """The session now."""
        episode = self._episode
        return Snapshot(
            frame=episode.frame,
            game=self.stage.game.name,
            origin=self._source.origin,
            player=self.player,
            action=self.stage.game.actions[episode.action],
            step=len(episode.log.actions),
            horizon=self.horizon,
            episode_return=episode.total,
            paused=self.paused,
            recording=self._recorder is not None,
            message=self._message if self.frames < self._message_until else "",
            frames=self.frames,
        )

    def close(self) -> None:
        """Finishes a recording and closes the sources. Raises ``DiamondError`` where the recording cannot be saved."""
        for source in self._opened.values():
            source.close()
        self._finish_recording()

    def _choose(self, buttons: frozenset[Button]) -> int:
        if self.player is Player.AGENT and self.stage.agent is not None:
            obs = from_numpy(self._episode.frame[None], torch.device("cpu"))
            return int(self.stage.agent.act(obs)[0])
        return self.stage.game.action(buttons)

    def _judge(self, transition: Transition) -> None:
        """Decides whether the episode is over. The horizon bounds dreams only."""
        episode = self._episode
        beyond = self._source.origin is Origin.DREAM and len(episode.log.actions) >= self.horizon
        episode.over = transition.ended or transition.truncated or beyond
        if transition.ended:
            self._say(f"game over, return {episode.total:g}")
        elif episode.over:
            self._say(f"horizon reached, return {episode.total:g}")

    def _begin(self, source: Source) -> None:
        frame = source.reset(self._next_seed)
        self._source = source
        self._episode = Episode(frame, EpisodeLog.starting(source.origin, self._next_seed, frame))
        self._next_seed += 1
        if self.stage.agent is not None:
            self.stage.agent.reset()
        if self._recorder is not None:
            self._recorder.episodes.append(self._episode.log)

    def _open(self, origin: Origin) -> Source:
        if origin not in self._opened:
            self._opened[origin] = self.stage.sources[origin]()
        return self._opened[origin]

    def _say(self, message: str) -> None:
        self._message, self._message_until = message, self.frames + MESSAGE_FRAMES

    def _carry_out(self, command: Command) -> None:
        match command:
            case Command.HAND_OVER:
                self._hand_over()
            case Command.RESET:
                self._begin(self._source)
            case Command.PAUSE:
                self.paused = not self.paused
            case Command.SINGLE_STEP:
                self.paused = self._single_step = True
            case Command.LONGER_HORIZON:
                self._set_horizon(self.horizon + HORIZON_STEP)
            case Command.SHORTER_HORIZON:
                self._set_horizon(max(self.horizon - HORIZON_STEP, min(self.horizon, HORIZON_STEP)))
            case Command.SWITCH_SOURCE:
                self._switch_source()
            case Command.RECORD:
                self._toggle_recording()

    def _hand_over(self) -> None:
        if self.player is Player.AGENT:
            self.player = Player.PERSON
            self._say("you play")
        elif self.stage.agent is None:
            self._say("this world has no agent to hand control to")
        else:
            self.stage.agent.reset()
            self.player = Player.AGENT
            self._say("the agent plays")

    def _set_horizon(self, steps: int) -> None:
        self.horizon = steps
        self._say(f"dreams last {steps} steps")

    def _switch_source(self) -> None:
        if self._source.origin is Origin.DREAM:
            self._begin(self._open(Origin.EMULATOR))
            self._say("the real emulator")
        else:
            self._begin(self._open(Origin.DREAM))
            self._say("the dream of the world model")

    def _toggle_recording(self) -> None:
        if self._recorder is None:
            self._recorder = self.stage.start_recording()
            self._recorder.episodes.append(self._episode.log)
            self._say(f"recording to {self._recorder.path}")
        else:
            self._say(f"saved {self._recorder.path}")
            self._finish_recording()

    def _finish_recording(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.finish()
