"""Measures whether a first-person world responds to actions: the same dream with one action changed.

Shapes: B dreams, S steps of a dream, A entries of an action, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond_engine.actions import HandAction, KeyMap, csgo
from diamond_engine.contexts import StartContexts
from diamond_engine.errors import DiamondError
from diamond_engine.world_model import World
from training.evaluation.dreams import Dreaming
from training.evaluation.fidelity.footage import dream_stages, held_out_clips, mean_difference
from training.evaluation.metrics import Frames
from training.first_person.footage import Footage
from training.runs.progress import Show

STEPS = 10
"""Of every dream."""
MEASURED_STEPS = (1, 5, 10)
"""Steps at which a dream is compared with the one without input."""
REAL_PAIRS = 64
"""Pairs of real frames looked at for every action, at most."""
HELD = 4
"""Frames for which an action must be held before a pair counts: walking takes some to begin and to end."""
STILL = 2.0
"""Mouse counts up to which the mouse counts as still: a hand trembles."""
FLOW_WIDTH = 140
"""Pixels of the frames between which motion is measured."""
SIDEWAYS, EXPANSION = "sideways", "expansion"


@dataclass(frozen=True)
class Probe:
    """An action to try, held for all of a dream."""

    name: str
    """For a person."""
    action: HandAction
    """What is held."""
    measure: str | None = None
    """The motion of the picture that shows it."""
    sign: int = 0
    """Of that motion: to the right and apart are 1."""

    def is_for(self, key_map: KeyMap) -> bool:
        """Whether a game has what is held."""
        try:
            return bool((key_map.encode(self.action) != key_map.encode(csgo.IDLE)).any())
        except DiamondError:
            return False


IDLE = Probe("idle", csgo.IDLE)
PROBES = (
    Probe("forward", HandAction(("w",)), EXPANSION, 1),
    Probe("back", HandAction(("s",)), EXPANSION, -1),
    Probe("strafe left", HandAction(("a",)), SIDEWAYS, 1),
    Probe("strafe right", HandAction(("d",)), SIDEWAYS, -1),
    Probe("turn left slowly", HandAction(mouse_x=-20), SIDEWAYS, 1),
    Probe("turn right slowly", HandAction(mouse_x=20), SIDEWAYS, -1),
    Probe("turn left fast", HandAction(mouse_x=-100), SIDEWAYS, 1),
    Probe("turn right fast", HandAction(mouse_x=100), SIDEWAYS, -1),
    Probe("shoot", HandAction(left_click=True)),
)


@dataclass(frozen=True)
class Motion:
    """Motion of the picture from one frame to the next."""

    sideways: float
    """Mean motion to the right, in percent of the picture's width."""
    expansion: float
    """How much things move away from the middle, in percent of their distance from it."""


@dataclass(frozen=True)
class Response:
    """The effect of one action."""

    probe: Probe
    """The action."""
    differences: dict[int, float]
    """By step: mean absolute difference from the dream of idle hands, levels of 256."""
    motion: float | None
    """Mean over the dreams of what the probe measures, beyond that of idle hands."""
    agreement: float | None
    """Share of the dreams in which it has the right sign."""
    real_motion: float | None
    """Mean of the same in real recordings."""
    real_agreement: float | None
    """Share of the real pairs in which it has the right sign: what can be hoped for."""
    real_pairs: int
    """Pairs of real frames looked at."""


@dataclass(frozen=True)
class Responses:
    """Result of ``measure_responses``."""

    responses: list[Response]
    """One for each of the probes."""
    pictures: dict[str, Frames]
    """The first dream of idle hands and of every probe, by name: the context's newest frame and all steps."""


def measure_responses(
    world: World,
    contexts: StartContexts,
    footage: Footage | None,
    how: Dreaming,
    show: Show = lambda done: None,
    probes: Sequence[Probe] = PROBES,
) -> Responses:
    """Dreams from all contexts at once with each action held, from the same noise, and compares with no input.

    Probes of keys, buttons or axes that the game lacks are left out. Raises ``DiamondError`` if none is left.
    With ``footage``, its held-out recordings show how the picture moves in the real game.
    """
    probes = [probe for probe in probes if probe.is_for(_key_map(world))]
    if not probes:
        raise DiamondError(f"none of {', '.join(probe.name for probe in PROBES)} is an action of {world.config.name}")
    newest = contexts.frames[:, -1] if contexts.full_res is None else contexts.full_res[:, -1]
    idle = _held(world, how, contexts, IDLE)
    still = _motions(newest, idle)
    responses: list[Response] = []
    pictures = {IDLE.name: np.concatenate((newest[:1], idle[0]))}
    for done, probe in enumerate(probes, start=1):
        dreamed = _held(world, how, contexts, probe)
        pictures[probe.name] = np.concatenate((newest[:1], dreamed[0]))
        motions = _measured(_motions(newest, dreamed), probe) - _measured(still, probe)
        real = _measured([list(_real_motions(footage, probe, how.seed))], probe) if footage else np.empty((1, 0))
        responses.append(_response(probe, dreamed, idle, motions.mean(axis=1), real[0]))
        show(done)
    return Responses(responses, pictures)


def _response(
    probe: Probe, dreamed: Frames, idle: Frames, motions: NDArray[np.float64], real: NDArray[np.float64]
) -> Response:
    differences = {step: mean_difference(dreamed[:, step - 1], idle[:, step - 1]) for step in MEASURED_STEPS}
    if probe.measure is None:
        return Response(probe, differences, None, None, None, None, 0)
    return Response(
        probe,
        differences,
        float(motions.mean()),
        float((motions * probe.sign > 0).mean()),
        float(real.mean()) if len(real) else None,
        float((real * probe.sign > 0).mean()) if len(real) else None,
        len(real),
    )


def _key_map(world: World) -> KeyMap:
    """Of a first-person world."""
    key_map = world.game.key_map
    assert key_map is not None
    return key_map


def _held(world: World, how: Dreaming, contexts: StartContexts, probe: Probe) -> Frames:
    """The frames shown in a dream of one action ``(B, S, H, W, 3)``."""
    key_map = _key_map(world)
    actions = np.broadcast_to(key_map.encode(probe.action), (len(contexts), STEPS, key_map.size))
    shown = [[*stages.values()][-1] for stages in dream_stages(world, how, contexts, actions.copy())]
    return np.stack(shown, axis=1)


def _motions(newest: Frames, dreamed: Frames) -> list[list[Motion]]:
    """From step to step of every dream."""
    return [
        [motion(before, after) for before, after in zip((first, *dream[:-1]), dream, strict=True)]
        for first, dream in zip(newest, dreamed, strict=True)
    ]


def _measured(motions: Sequence[Sequence[Motion]], probe: Probe) -> NDArray[np.float64]:
    """``(B, S)``; zeros for a probe that nothing is measured of."""
    return np.array([[getattr(each, probe.measure) if probe.measure else 0.0 for each in row] for row in motions])


def motion(before: Frames, after: Frames) -> Motion:
    """Between two frames ``(H, W, 3)``, by dense optical flow."""
    height = round(FLOW_WIDTH * before.shape[0] / before.shape[1])
    small = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (FLOW_WIDTH, height), interpolation=cv2.INTER_AREA)
        for frame in (before, after)
    ]
    flow = cv2.calcOpticalFlowFarneback(
        *small, None, pyr_scale=0.5, levels=4, winsize=21, iterations=3, poly_n=7, poly_sigma=1.5, flags=0
    )  # pyright: ignore[reportCallIssue, reportArgumentType]
    rows, columns = np.mgrid[:height, :FLOW_WIDTH]
    offsets = np.stack((columns - columns.mean(), rows - rows.mean()), axis=-1)
    return Motion(
        sideways=100 * float(flow[..., 0].mean()) / FLOW_WIDTH,
        expansion=100 * float((flow * offsets).sum() / (offsets**2).sum()),
    )


def _real_motions(footage: Footage, probe: Probe, seed: int) -> Iterator[Motion]:
    """In held-out recordings, where the action was held for a while."""
    places = [
        (clip, frame)
        for clip in held_out_clips(footage, STEPS)
        for frame in _places_of(footage.actions(clip, 0, footage.clips[clip].frames), footage.key_map, probe.action)
    ]
    np.random.default_rng(seed).shuffle(places)
    for clip, frame in places[:REAL_PAIRS]:
        yield motion(*footage.full_res(clip, frame, frame + 2))


def _places_of(actions: NDArray[np.uint8], key_map: KeyMap, wanted: HandAction) -> Iterator[int]:
    """Frames, but the last, at which an action like the wanted one had been held for ``HELD`` frames."""
    alike = [_alike(key_map.decode(action), wanted) for action in actions]
    return (i for i in range(HELD - 1, len(alike) - 1) if all(alike[i + 1 - HELD : i + 1]))


def _alike(action: HandAction, wanted: HandAction) -> bool:
    if action.keys != wanted.keys or abs(action.mouse_y) > STILL:
        return False
    if wanted.mouse_x == 0:
        return abs(action.mouse_x) <= STILL
    return 0.5 <= action.mouse_x / wanted.mouse_x <= 1.5
