"""Fidelity of Atari dreams: distance from the real game, and prediction of rewards and ends.

Shapes: B dreams, L context length, S steps of a dream, T steps of an episode, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from diamond_engine.episodes import Episode, EpisodeFolder, cut
from diamond_engine.errors import DiamondError
from diamond_engine.frames import from_numpy
from diamond_engine.networks import RewardEndModel
from diamond_engine.networks.reward_end import LSTMState
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming, dream
from training.evaluation.metrics import Detection, Frames, psnr, wrong_pixel_ratio
from training.runs.progress import Show

MEASURED_STEPS = (1, 5, 15, 50)
"""Steps at which dreams are compared with the real game."""
HORIZON = max(MEASURED_STEPS)
TRANSITIONS_AT_ONCE = 32


@dataclass(frozen=True)
class Start:
    """A place in a real episode where a dream starts."""

    episode: int
    """Index in the folder."""
    newest: int
    """Step of the newest context frame."""
    steps: int
    """Number of real frames that follow it, including the final frame, at most ``HORIZON``."""


@dataclass(frozen=True)
class StepFidelity:
    """Dreams against the real game at one step, over the n dreams whose episode is long enough."""

    step: int
    """Number of actions since the context."""
    n: int
    """Dreams compared."""
    wrong_pixel_ratio: float | None
    """See ``metrics.wrong_pixel_ratio``; the repeated frame is the newest of the context. None where n is 0."""
    psnr: float | None
    """Mean over the dreams, dB; see ``metrics.psnr``. None where n is 0."""


@dataclass(frozen=True)
class DreamFidelity:
    """Result of ``measure_dreams``."""

    steps: list[StepFidelity]
    """One entry for each of ``MEASURED_STEPS``."""
    real: Frames
    """The longest continuation measured, at most ``HORIZON`` frames ``(S, H, W, 3)``."""
    dreamed: Frames
    """The dream of it ``(S, H, W, 3)``."""


@dataclass(frozen=True)
class JudgementFidelity:
    """Result of ``measure_judgement``."""

    rewards: Detection
    """Rewards that are not 0, by sign."""
    ends: Detection
    """Ends of episodes."""


def draw_starts(folder: EpisodeFolder, context: int, per_episode: int, seed: int) -> list[Start]:
    """Up to ``per_episode`` different places of every episode that is long enough, uniformly.

    Raises ``DiamondError`` if no episode has a full context (``context`` frames) and a step after it.
    """
    rng = np.random.default_rng(seed)
    starts: list[Start] = []
    for i, length in enumerate(folder.lengths.tolist()):
        places = np.arange(context - 1, length)
        for newest in rng.choice(places, min(per_episode, len(places)), replace=False) if len(places) else ():
            starts.append(Start(i, int(newest), min(HORIZON, length - int(newest))))
    if not starts:
        raise DiamondError(f"no episode is longer than a context of {context} frames: collect more with --episodes")
    return starts


def measure_dreams(
    world: World,
    folder: EpisodeFolder,
    starts: list[Start],
    how: Dreaming,
    show: Show = lambda done: None,
) -> DreamFidelity:
    """Dreams from every start with the real actions and compares with the real frames."""
    context = world.context_length
    kept: dict[int, list[tuple[Frames, Frames, Frames]]] = {step: [] for step in MEASURED_STEPS}
    longest: tuple[Frames, Frames] | None = None
    for done, (start, frames, dreamed) in enumerate(_dreams(world, folder, starts, how), start=1):
        repeated, real = frames[context - 1], frames[context:]
        longest = longest or (real, dreamed)
        for step in (step for step in MEASURED_STEPS if step <= start.steps):
            kept[step].append((dreamed[step - 1], real[step - 1], repeated))
        show(done)
    assert longest is not None
    return DreamFidelity([_compare(step, triples) for step, triples in kept.items()], *longest)


def _dreams(
    world: World, folder: EpisodeFolder, starts: list[Start], how: Dreaming
) -> Iterator[tuple[Start, Frames, Frames]]:
    """Yields every start, longest first, with its context and the real frames after it ``(L+S, H, W, 3)`` and the
    dreamed ones ``(S, H, W, 3)``. S is that of the longest start in its batch; frames beyond the real end are black."""
    context = world.context_length
    starts = sorted(starts, key=lambda start: start.steps, reverse=True)
    for first in range(0, len(starts), how.num_envs):
        batch = starts[first : first + how.num_envs]
        length = context + batch[0].steps
        rows = [cut(folder[start.episode], start.newest + 1 - context, length) for start in batch]
        frames = np.asarray([row["frames"] for row in rows], dtype=np.uint8)
        actions = np.asarray([row["actions"] for row in rows], dtype=np.int64)
        dreamed = dream(world, replace(how, seed=how.seed + first), frames[:, :context], actions[:, :-1])
        yield from zip(batch, frames, dreamed, strict=True)


def _compare(step: int, triples: list[tuple[Frames, Frames, Frames]]) -> StepFidelity:
    """From triples of dreamed, real and repeated frames ``(H, W, 3)``."""
    if not triples:
        return StepFidelity(step, 0, None, None)
    dreamed, real, repeated = (np.stack(frames) for frames in zip(*triples, strict=True))
    return StepFidelity(
        step, len(triples), wrong_pixel_ratio(dreamed, real, repeated), float(psnr(dreamed, real).mean())
    )


def measure_judgement(
    model: RewardEndModel,
    folder: EpisodeFolder,
    warm_up: int,
    runtime: Runtime,
    show: Show = lambda done: None,
) -> JudgementFidelity:
    """Predicts the rewards and ends of all real transitions and compares with what happened.

    The first ``warm_up`` transitions of an episode only warm the LSTM, as the context does in imagination.
    """
    model = runtime.for_inference(model)
    rows: list[tuple[NDArray[np.int64], ...]] = []
    for i in range(len(folder)):
        episode = folder[i]
        signs, ends = judge(model, episode, runtime)
        real = np.sign(episode.rewards).astype(np.int64), episode.terminated.astype(np.int64)
        rows.append(tuple(labels[warm_up:] for labels in (signs, real[0], ends, real[1])))
        show(i + 1)
    signs, real_signs, ends, real_ends = (np.concatenate(labels) for labels in zip(*rows, strict=True))
    return JudgementFidelity(Detection.count(signs, real_signs), Detection.count(ends, real_ends))


@torch.no_grad()
def judge(model: RewardEndModel, episode: Episode, runtime: Runtime) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The likeliest reward signs and ends (0 or 1), each ``(T,)``, of an episode's transitions, given all before."""
    frames = episode.all_frames
    state: LSTMState | None = None
    signs: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    for first in range(0, len(episode), TRANSITIONS_AT_ONCE):
        last = first + TRANSITIONS_AT_ONCE
        obs = from_numpy(frames[first : last + 1], runtime.device)[None]
        act = torch.from_numpy(episode.actions[first:last]).to(runtime.device)[None]
        reward_logits, end_logits, state = model(obs[:, :-1], act, obs[:, 1:], state)
        signs.append(reward_logits[0].argmax(dim=-1).cpu().numpy() - 1)
        ends.append(end_logits[0].argmax(dim=-1).cpu().numpy())
    return np.concatenate(signs), np.concatenate(ends)
