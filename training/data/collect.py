"""Collects episodes from the real game with a policy (``diamond-train collect``).

Shapes: B games side by side, T steps, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.agents import Agent, EpsilonPolicy, Policy, RandomPolicy
from diamond_engine.emulators import Emulator, EmulatorStep, open_emulator
from diamond_engine.episodes import Episode, EpisodeFolder
from diamond_engine.frames import from_numpy
from diamond_engine.games import Game
from training.data.callables import CalledPolicy
from training.data.episodes import GameEpisodes, Source
from training.data.scripted import TRACKER, scripted_policy
from training.runs.progress import progress
from training.runs.session import Session
from training.runs.signals import Interrupted, stop_signals
from training.runs.trained import TrainedAgent


@dataclass
class Recording:
    """The unfinished episode of one game."""

    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def add(self, frame: NDArray[np.uint8], action: int, reward: float) -> None:
        """One step: the frame ``(H, W, 3)``, the action taken there and the reward it earned."""
        self.frames.append(frame.copy())
        self.actions.append(action)
        self.rewards.append(reward)

    def finish(
        self,
        final_frame: NDArray[np.uint8],
        terminated: bool,
        truncated: bool,
        attributes: Mapping[str, str | int | float],
    ) -> Episode:
        """The finished episode; ``final_frame`` ``(H, W, 3)`` is what its last action led to."""
        steps = len(self.actions)
        last = np.arange(steps) == steps - 1
        return Episode(
            frames=np.stack(self.frames),
            actions=np.asarray(self.actions, dtype=np.int64),
            rewards=np.asarray(self.rewards, dtype=np.float32),
            terminated=last & terminated,
            truncated=last & truncated,
            final_frame=final_frame,
            attributes=attributes,
        )


class Collector:
    """Plays B games with a policy and files every finished episode. Games continue from call to call."""

    def __init__(
        self,
        emulator: Emulator,
        policy: Policy,
        attributes: Mapping[str, str | int | float],
        device: torch.device | None = None,
    ) -> None:
        self.emulator = emulator
        self.policy = policy
        self.attributes = attributes
        self.device = device or torch.device("cpu")
        self._frames = emulator.reset()
        self._recordings = [Recording() for _ in range(emulator.num_envs)]

    def collect(
        self, folder: EpisodeFolder, steps: int, on_steps: Callable[[int], None] = lambda steps: None
    ) -> list[Episode]:
        """Files finished episodes until they hold at least ``steps`` steps; returns them."""
        done: list[Episode] = []
        filed = 0
        while filed < steps:
            for episode in self.step(folder):
                done.append(episode)
                filed += len(episode)
                on_steps(len(episode))
        return done

    def step(self, folder: EpisodeFolder) -> list[Episode]:
        """Takes one action in every game; files the finished episodes and returns them."""
        finished = self._step()
        for episode in finished:
            folder.append(episode)
        return finished

    def truncate(self, folder: EpisodeFolder) -> None:
        """Files unfinished games as truncated episodes, so that long games are not lost with the last call."""
        for i, recording in enumerate(self._recordings):
            if recording.actions:
                folder.append(recording.finish(self._frames[i].copy(), False, True, self.attributes))
                self._recordings[i] = Recording()

    def _step(self) -> list[Episode]:
        actions = self.policy.act(from_numpy(self._frames, self.device)).cpu().numpy()
        result = self.emulator.step(actions)
        for i, recording in enumerate(self._recordings):
            recording.add(self._frames[i], int(actions[i]), float(result.rewards[i]))
        self._frames = result.frames
        ended = result.terminated | result.truncated
        if ended.any():
            self.policy.reset(torch.from_numpy(ended))
        return [self._finish(int(i), result) for i in np.flatnonzero(ended)]

    def _finish(self, i: int, result: EmulatorStep) -> Episode:
        recording, self._recordings[i] = self._recordings[i], Recording()
        return recording.finish(
            result.successors[i].copy(), bool(result.terminated[i]), bool(result.truncated[i]), self.attributes
        )


RANDOM = "random"
BYTES_PER_STEP = 1500
"""Compressed bytes of a step on disk, measured on Breakout; busier games take more."""
TRACKER_SPREAD = 1.5
"""Spread of the scripted policy's aim in pixels, so that games differ."""


@dataclass(frozen=True)
class Mixture:
    """What to collect: equal shares of the steps for every ε of one policy."""

    game: Game
    player: TrainedAgent | CalledPolicy | str
    """The policy: an agent, ``random``, ``tracker``, the game's scripted policy, or a person's function."""
    epsilons: tuple[float, ...]
    """Probabilities of a random action."""
    steps: int
    """Total steps of this policy, these ε and this seed in the folder."""
    num_envs: int
    """Games side by side B."""
    hold: float = 1.0
    """Steps for which a random action is held on average."""

    def sources(self, seed: int) -> list[Source]:
        """The sources to collect from, in order."""
        if self.player == RANDOM:
            return [Source(RANDOM, 0.0, seed, self.hold)]
        label = self.player if isinstance(self.player, str) else self.player.label
        return [Source(label, epsilon, seed, self.hold if epsilon else 1.0) for epsilon in self.epsilons]


def collect_mixture(mixture: Mixture, session: Session) -> None:
    """Fills ``session.out`` up to the requested steps; steps of the same source that are already there count.

    Raises ``Interrupted`` after a signal, once the unfinished games are filed.
    """
    data = GameEpisodes(session.out, mixture.game, may_be_empty=True)
    mixture = replace(mixture, game=data.game)
    sources = mixture.sources(session.seed)
    share = -(-mixture.steps // len(sources))
    session.console.print(
        f"{mixture.steps} steps of {mixture.game.name}, about {mixture.steps * BYTES_PER_STEP / 1e6:.1f} MB on disk, "
        f"{mixture.num_envs} games side by side; policies: " + ", ".join(map(str, sources))
    )
    deadline = None if session.time_budget is None else time.monotonic() + session.time_budget
    for source in sources:
        _fill(data, mixture, source, share, session, deadline)
    session.console.print(f"{session.out} holds {len(data.episodes)} episodes, {data.episodes.num_steps} steps")


def _fill(
    data: GameEpisodes, mixture: Mixture, source: Source, share: int, session: Session, deadline: float | None
) -> None:
    before = steps = data.steps_from(source)
    if before >= share:
        session.console.print(f"{source}: already has {before} steps")
        return
    collector = _collector(mixture, source, before, session)
    with stop_signals() as received, progress(session.console, str(source), share, before) as show:
        while steps < share and not received and (deadline is None or time.monotonic() < deadline):
            collector.step(data.episodes)
            steps += mixture.num_envs
            show(min(steps, share))
    collector.truncate(data.episodes)
    collector.emulator.close()
    if received:
        raise Interrupted(received[0])


def _policy(mixture: Mixture, seed: int, session: Session) -> Policy:
    player, game = mixture.player, mixture.game
    if isinstance(player, TrainedAgent):
        return Agent(player.network, session.runtime, seed)
    if isinstance(player, CalledPolicy):
        return player
    return scripted_policy(game, seed, TRACKER_SPREAD) if player == TRACKER else RandomPolicy(len(game.actions), seed)


def _collector(mixture: Mixture, source: Source, before: int, session: Session) -> Collector:
    # The seed depends on what is there already, or a continued collection would play the same games again.
    games, actions, noise = (int(x) >> 2 for x in np.random.SeedSequence([source.seed, before]).generate_state(3))
    emulator = open_emulator(mixture.game, mixture.num_envs, seed=games, end_on_life_loss=True)
    policy = _policy(mixture, actions, session)
    epsilon = 1.0 if mixture.player == RANDOM else source.epsilon
    if epsilon > 0:
        policy = EpsilonPolicy(policy, len(mixture.game.actions), epsilon, noise, source.hold)
    return Collector(emulator, policy, {"game": mixture.game.name, **source._asdict()}, session.runtime.device)
