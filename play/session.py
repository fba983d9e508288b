"""A session of play: its player, source, horizon and pauses. No threads, no clock, no window.

Shapes: H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from diamond_engine.errors import DiamondError
from diamond_engine.runtime import KernelSwap, Runtime
from play.actions import Action, ActionSpace
from play.autopilot import Autopilot
from play.latch import Input
from play.recording import EpisodeLog, Header, Recorder
from play.sources import Opening, Source, Start, Transition
from play.view import Command, Frame, Origin, Player, Snapshot

MESSAGE_FRAMES = 45


@dataclass
class Episode:
    """The episode being played."""

    opening: Opening
    """Its start."""
    frame: Frame
    """The newest frame, ``(H, W, 3)`` RGB."""
    low_res: Frame | None
    """The same before upsampling, if the source has it."""
    dreamed: Frame | None
    """The part that a world model drew, if the frame shows more."""
    log: EpisodeLog
    """Its log."""
    action: Action
    """The last action."""
    total: float = 0.0
    """Sum of the rewards."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds of the last step by stage."""
    over: bool = False
    """Whether the next step starts a new episode."""

    @property
    def step(self) -> int:
        """Steps played."""
        return len(self.log.actions)

    @property
    def acted_on(self) -> Frame:
        """The frame that an autopilot sees, ``(H, W, 3)`` RGB."""
        return self.frame if self.dreamed is None else self.dreamed


@dataclass(frozen=True)
class Settings:
    """Settings of a session at its start."""

    start: Start = field(default_factory=Start)
    """Start of the first episode; the others follow from it."""
    horizon: int = 50
    """Steps after which a dream ends."""
    horizon_step: int = 5
    """Change of the horizon per command."""
    player: Player = Player.PERSON
    """Who plays first."""
    origin: Origin = Origin.DREAM
    """The first source."""


@dataclass(frozen=True)
class Stage:
    """Everything that a session is played on."""

    title: str
    """Name of the game."""
    actions: ActionSpace
    """The action space."""
    frame_rate: float
    """Frames a second of the game's natural speed."""
    header: Header
    """World, sampler, device and precision in words."""
    runtime: Runtime
    """Runtime of the networks at first."""
    kernel_swap: KernelSwap | None
    """The later runtime, if its kernels must be built first."""
    sources: Mapping[Origin, Callable[[Runtime], Source]]
    """Openers of the sources; each is called at the source's first use."""
    autopilot: Autopilot | None
    """Plays when the person does not, if there is one."""
    has_rewards: bool
    """Whether the game has rewards."""
    start_recording: Callable[[], Recorder]
    """Starts a recording."""


class Session:
    """One game being played. It belongs to one thread."""

    def __init__(self, stage: Stage, settings: Settings) -> None:
        """Starts the first episode. Raises ``DiamondError`` if the first source cannot be opened."""
        self.stage = stage
        self.player = settings.player
        self.horizon = settings.horizon
        self.paused = False
        self.frames = 0
        """Steps played in all episodes."""
        self.runtime = stage.runtime
        """Runtime of the networks now."""
        self._horizon_step = settings.horizon_step
        self._next = settings.start
        self._opened: dict[Origin, Source] = {}
        self._recorder: Recorder | None = None
        self._single_step = False
        self._stamp = 0
        self._dreaming = Origin.BESIDE if settings.origin is Origin.BESIDE else Origin.DREAM
        self._message, self._message_until = "", 0
        self._begin(self._open(settings.origin))

    @property
    def due(self) -> bool:
        """Whether the session should advance now: it is not paused, or a single step was requested."""
        return not self.paused or self._single_step

    @property
    def stage_ms(self) -> Mapping[str, float]:
        """Milliseconds of the last step by stage of the world model."""
        return self._episode.stage_ms

    def advance(self, given: Input) -> Frame:
        """Plays one step with a person's input (an autopilot ignores it) and returns its frame ``(H, W, 3)``.

        First swaps kernels if better ones are ready, and starts a new episode if the last one is over.
        """
        self._single_step = False
        self._stamp = given.stamp
        self._take_over_kernels()
        if self._episode.over:
            self._begin(self._source)
        episode = self._episode
        episode.action = self._choose(given)
        transition = self._source.step(episode.action)
        episode.frame, episode.low_res, episode.dreamed = transition.frame, transition.low_res, transition.dreamed
        episode.total += transition.reward
        episode.stage_ms = transition.stage_ms
        episode.log.append(episode.action, transition.frame)
        self.frames += 1
        if self._recorder is not None:
            self._recorder.write(transition.frame)
        self._judge(transition)
        return transition.frame

    def obey(self, command: Command) -> None:
        """Carries out a command; if it cannot, the message says why."""
        try:
            self._carry_out(command)
        except DiamondError as error:
            self._say(str(error))

    def snapshot(self) -> Snapshot:
        """A view of the session now."""
        episode, context = self._episode, self._episode.log.start.context
        return Snapshot(
            frame=episode.frame,
            low_res=episode.low_res,
            title=self.stage.title,
            origin=self._source.origin if len(self.stage.sources) > 1 else None,
            player=self.player,
            gesture=self.stage.actions.gesture(episode.action),
            step=episode.step,
            horizon=self.horizon,
            context=None if context is None else (context, self._source.num_contexts),
            episode_return=episode.total if self.stage.has_rewards else None,
            paused=self.paused,
            recording=self._recorder is not None,
            compiled=self.runtime.compiled,
            message=self._message if self.frames < self._message_until else "",
            frames=self.frames,
            frame_rate=self.stage.frame_rate,
            stage_ms=self.stage_ms,
            stamp=self._stamp,
        )

    def close(self) -> None:
        """Finishes a recording and closes the sources. Raises ``DiamondError`` if the recording cannot be saved."""
        for source in self._opened.values():
            source.close()
        self._finish_recording()

    def _take_over_kernels(self) -> None:
        runtime = None if self.stage.kernel_swap is None else self.stage.kernel_swap.poll()
        if runtime is None:
            return
        self.runtime = runtime
        if not runtime.compiled:
            self._say(runtime.notes[-1])
            return
        for source in self._opened.values():
            source.run_on(runtime)
        if self.stage.autopilot is not None:
            self.stage.autopilot.run_on(runtime)
        self._episode.log.compiled_from = self._episode.step
        self._say("kernels are built: faster from here on")

    def _choose(self, given: Input) -> Action:
        episode, autopilot = self._episode, self.stage.autopilot
        if self.player is Player.PERSON or autopilot is None:
            return self.stage.actions.action(given)
        if autopilot.ready(episode.step):
            return autopilot.act(episode.acted_on, episode.step)
        self.player = Player.PERSON
        self._say("nothing was recorded here: you play")
        return self.stage.actions.action(given)

    def _judge(self, transition: Transition) -> None:
        """Ends the episode by its rules, at the horizon of a dream, or where the autopilot has no more actions."""
        episode, autopilot = self._episode, self.stage.autopilot
        beyond = self._source.origin is not Origin.EMULATOR and episode.step >= self.horizon
        played_out = self.player is not Player.PERSON and autopilot is not None and not autopilot.ready(episode.step)
        episode.over = transition.ended or transition.truncated or beyond or played_out
        outcome = f", return {episode.total:g}" if self.stage.has_rewards else ""
        if transition.ended:
            self._say(f"game over{outcome}")
        elif beyond or transition.truncated:
            self._say(f"horizon reached{outcome}")
        elif played_out:
            self._say("the recording ends here")

    def _begin(self, source: Source) -> None:
        start = self._next
        opening = source.reset(start)
        self._source = source
        log = EpisodeLog.starting(source.origin, start, opening.frame, self.runtime.compiled)
        self._episode = Episode(opening, opening.frame, opening.low_res, opening.dreamed, log, self.stage.actions.idle)
        self._next = start.next(source.num_contexts)
        if self.stage.autopilot is not None:
            self.stage.autopilot.begin(opening)
        if self._recorder is not None:
            self._recorder.episodes.append(self._episode.log)

    def _open(self, origin: Origin) -> Source:
        if origin not in self._opened:
            self._opened[origin] = self.stage.sources[origin](self.runtime)
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
                self._set_horizon(self.horizon + self._horizon_step)
            case Command.SHORTER_HORIZON:
                self._set_horizon(max(self.horizon - self._horizon_step, min(self.horizon, self._horizon_step)))
            case Command.SWITCH_SOURCE:
                self._switch_source()
            case Command.RECORD:
                self._toggle_recording()

    def _hand_over(self) -> None:
        autopilot = self.stage.autopilot
        if self.player is not Player.PERSON:
            self.player = Player.PERSON
            self._say("you play")
        elif autopilot is None:
            self._say("this world has no agent to hand control to")
        elif not autopilot.ready(self._episode.step):
            self._say("nothing was recorded here: Enter goes to the next context")
        else:
            autopilot.begin(self._episode.opening)
            self.player = autopilot.player
            self._say(f"the {autopilot.player} plays")

    def _set_horizon(self, steps: int) -> None:
        self.horizon = steps
        self._say(f"dreams last {steps} steps")

    def _switch_source(self) -> None:
        origin = self._dreaming if self._source.origin is Origin.EMULATOR else Origin.EMULATOR
        if origin not in self.stage.sources:
            self._say("this world has no emulator to switch to")
            return
        self._begin(self._open(origin))
        self._say("the real emulator" if origin is Origin.EMULATOR else "the dream of the world model")

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
