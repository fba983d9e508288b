"""``diamond-eval fidelity`` for first-person worlds, and ``diamond-eval response``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from diamond_engine import load_world
from diamond_engine.contexts import StartContexts
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import World
from training.evaluation.commands.options import (
    Device,
    Dtype,
    PicturePath,
    PresetName,
    Recordings,
    ReportPath,
    Seed,
    Weights,
    WorldName,
    file,
    tell,
    where,
)
from training.evaluation.dreams import Dreaming
from training.evaluation.fidelity.footage import (
    contexts_at,
    draw_places,
    full_res_frames,
    measure_footage,
)
from training.evaluation.reports.fidelity import distance_report, distance_table
from training.evaluation.reports.pictures import strip_picture, write_png
from training.evaluation.reports.report import Report, table_of
from training.evaluation.reports.response import response_picture, response_report, response_table
from training.evaluation.reports.right_way import right_way_picture, right_way_report, right_way_table
from training.evaluation.response import PROBES, measure_responses
from training.evaluation.right_way import measure_right_way
from training.first_person.footage import Footage, open_footage
from training.runs.progress import make_console, progress


def footage_fidelity(
    world: World, data: Path | None, recordings: int, per_recording: int, how: Dreaming, facts: Report, strip: Path
) -> Report:
    """Measures a first-person world, prints tables, and returns the report. The strip shows the last stage."""
    if data is None:
        raise UsageError(f"{world.config.name} is compared with recordings: give them with --data")
    console = make_console()
    footage = open_footage(data, console)
    places = draw_places(footage, world.context_length, recordings, per_recording, how.seed)
    with progress(console, "dreaming", len(places)) as show:
        stages = measure_footage(world, footage, places, how, show)
    last = [*stages.values()][-1]
    write_png(strip, strip_picture(last.real, last.dreamed))
    facts = {**facts, "data": str(data), "contexts": len(places)}
    tell(table_of(facts), *(distance_table(stage, result) for stage, result in stages.items()), f"picture: {strip}")
    return {**facts, **distance_report(stages)}


def response(
    world_name: WorldName,
    weights: Weights = None,
    data: Recordings = None,
    contexts: Annotated[int, typer.Option(min=1, help="Dreams of every action; without --data from the world's.")] = 16,
    preset: PresetName = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps a frame.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
    picture: PicturePath = Path("response.png"),
) -> None:
    """Measure whether a world responds to actions.

    If the game can be played here, it is played at random up to some places, and from there once with every action
    held. Right way: the share of the dreams that are nearest to what their own action really leads to, after one step
    and after four, where the actions lead to different frames.

    A first-person world dreams ten steps from the same contexts and noise with one action held: nothing, walking and
    strafing each way, turning by the mouse, shooting. Difference: mean over pixels against the dream without input, in
    levels of 256.

    Motion is measured by optical flow between the dream's own frames. A picture moves to the left where one turns or
    steps to the right (sideways, percent of its width a frame), and grows where one walks forward (expansion, percent
    a frame). Right way: the share of the dreams in which it moves as it should; half would be chance. With --data, the
    same of the held-out recordings, wherever the action was held: not all of them either, for walls stop who walks.

    Example: diamond-eval response doom --data recordings --report response.json
    """
    world = load_world(world_name, weights=weights)
    if world.game.emulator and data is not None:
        raise UsageError(f"{world.config.name} is compared with its emulator: --data is for first-person worlds")
    sampler = world.config.preset(preset)
    sampler = sampler if steps is None else sampler.with_steps(steps)
    facts: Report = {
        "world": world.config.name,
        "weights": weights or world_name,
        "preset": preset or world.config.default_preset,
        "denoising_steps": sampler.steps,
        "seed": seed,
        **where(Runtime.choose(device, dtype)),
    }
    how = Dreaming(sampler, seed, contexts, device, dtype)
    measure = _real_response if world.game.emulator else _recorded_response
    file(report, measure(world, data, contexts, how, facts, picture))


def _real_response(
    world: World, data: Path | None, contexts: int, how: Dreaming, facts: Report, picture: Path
) -> Report:
    with progress(make_console(), "places", contexts) as show:
        result = measure_right_way(world, how, contexts, show)
    write_png(picture, right_way_picture(result))
    tell(table_of(facts), right_way_table(result), f"picture: {picture}")
    return {**facts, "contexts": contexts, **right_way_report(result)}


def _recorded_response(
    world: World, data: Path | None, contexts: int, how: Dreaming, facts: Report, picture: Path
) -> Report:
    console = make_console()
    footage = None if data is None else open_footage(data, console)
    starts = _starts(world, footage, contexts, how.seed)
    with progress(console, "actions", len(PROBES)) as show:
        responses = measure_responses(world, starts, footage, how, show)
    write_png(picture, response_picture(responses))
    facts = {**facts, "contexts": len(starts)}
    tell(table_of(facts), response_table(responses), f"picture: {picture}")
    return {**facts, **response_report(responses)}


def _starts(world: World, footage: Footage | None, count: int, seed: int) -> StartContexts:
    if footage is not None:
        places = draw_places(footage, world.context_length, count, count, seed)
        chosen = [places[i] for i in np.random.default_rng(seed).permutation(len(places))[:count]]
        return contexts_at(footage, chosen, world.context_length, full_res_frames(world))
    if world.contexts is None:
        raise DiamondError(f"{world.config.name} has no start contexts: give recordings with --data")
    return world.contexts.take(np.arange(count) % len(world.contexts))
