"""What ``diamond-eval fidelity`` does with a first-person world, and ``diamond-eval response``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from diamond_engine import load_world
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.runtime import Runtime
from diamond_engine.spawns import Spawns
from diamond_engine.worlds import World
from training.evaluation.commands.options import (
    Device,
    Dtype,
    PicturePath,
    PresetName,
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
    StageFidelity,
    contexts_at,
    draw_places,
    full_res_frames,
    measure_footage,
)
from training.evaluation.reports.pictures import Row, grid_picture, strip_picture, write_png
from training.evaluation.reports.report import Report, shown, table_of
from training.evaluation.response import MEASURED_STEPS, PROBES, Responses, measure_responses
from training.first_person.footage import Footage, open_footage
from training.runs.progress import make_console, progress

Recordings = Annotated[
    Path | None,
    typer.Option(
        "--data", file_okay=False, help="First-person recordings: those held out of training are compared with."
    ),
]


def footage_fidelity(
    world: World, data: Path | None, recordings: int, per_recording: int, how: Dreaming, facts: Report, strip: Path
) -> Report:
    """Measures a first-person world, tells, and returns the report; the strip shows the last stage."""
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
    tell(table_of(facts), *(_distance_table(stage, result) for stage, result in stages.items()), f"picture: {strip}")
    return {**facts, **_distance_report(stages)}


def response(
    world_name: WorldName,
    weights: Weights = None,
    data: Recordings = None,
    contexts: Annotated[int, typer.Option(min=1, help="Dreams of every action; without --data from the spawns.")] = 16,
    preset: PresetName = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps a frame.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
    picture: PicturePath = Path("response.png"),
) -> None:
    """See whether a first-person world does what one does.

    Dreams ten steps from the same contexts and noise with one action held: nothing, walking and strafing each way,
    turning by the mouse, shooting. Difference: mean over pixels against the dream of idle hands, in levels of 256.

    Motion is measured by optical flow between the dream's own frames. A picture moves to the left where one turns or
    steps to the right (sideways, percent of its width a frame), and grows where one walks forward (expansion, percent
    a frame). Right way: the share of the dreams in which it moves as it should; half would be chance. With --data, the
    same of the held-out recordings, wherever the action was held: not all of them either, for walls stop who walks.

    Example: diamond-eval response doom --data recordings --report response.json
    """
    world = load_world(world_name, weights=weights)
    if world.config.game is not None:
        raise UsageError(f"{world.config.name} is no first-person world")
    sampler = world.config.preset(preset)
    sampler = sampler if steps is None else sampler.with_steps(steps)
    console = make_console()
    footage = None if data is None else open_footage(data, console)
    starts = _starts(world, footage, contexts, seed)
    how = Dreaming(sampler, seed, contexts, device, dtype)
    with progress(console, "actions", len(PROBES)) as show:
        responses = measure_responses(world, starts, footage, how, show)
    write_png(picture, _response_picture(responses))
    facts: Report = {
        "world": world.config.name,
        "weights": weights or world_name,
        "preset": preset or world.config.default_preset,
        "denoising_steps": sampler.dynamics.num_steps_denoising,
        "contexts": len(starts),
        "seed": seed,
        **where(Runtime.choose(device, dtype)),
    }
    tell(table_of(facts), _response_table(responses), f"picture: {picture}")
    file(report, {**facts, **_response_report(responses)})


def _starts(world: World, footage: Footage | None, count: int, seed: int) -> Spawns:
    if footage is not None:
        places = draw_places(footage, world.context_length, count, count, seed)
        chosen = [places[i] for i in np.random.default_rng(seed).permutation(len(places))[:count]]
        return contexts_at(footage, chosen, world.context_length, full_res_frames(world))
    if world.spawns is None:
        raise DiamondError(f"{world.config.name} has no start contexts: give recordings with --data")
    return world.spawns.take(np.arange(count) % len(world.spawns))


def _distance_report(stages: dict[str, StageFidelity]) -> Report:
    """``dynamics_wrong_pixel_ratio_1``, ``dynamics_psnr_1``, and so on for every stage and measured step."""
    report: Report = {}
    for stage, result in stages.items():
        for at in result.steps:
            report[f"{stage}_wrong_pixel_ratio_{at.step}"] = at.wrong_pixel_ratio
            report[f"{stage}_psnr_{at.step}"] = at.psnr
            report[f"{stage}_mean_error_{at.step}"] = at.mean_error
            report[f"{stage}_repeated_error_{at.step}"] = at.repeated_error
    return report


def _distance_table(stage: str, result: StageFidelity) -> Table:
    table = Table(
        "step",
        "wrong-pixel ratio",
        "PSNR (dB)",
        "mean error (levels)",
        "of a still picture",
        title=f"frames of {stage}",
    )
    for at in result.steps:
        values = (at.wrong_pixel_ratio, at.psnr, at.mean_error, at.repeated_error)
        table.add_row(str(at.step), *map(shown, values))
    return table


def _response_report(responses: Responses) -> Report:
    """``forward_difference_1``, ``forward_motion``, ``forward_right_way``, and so on for every action."""
    report: Report = {}
    for result in responses.responses:
        name = result.probe.name.replace(" ", "_")
        for step, difference in result.differences.items():
            report[f"{name}_difference_{step}"] = difference
        if result.probe.measure is not None:
            report[f"{name}_motion"] = result.motion
            report[f"{name}_right_way"] = result.agreement
            report[f"{name}_real_motion"] = result.real_motion
            report[f"{name}_real_right_way"] = result.real_agreement
            report[f"{name}_real_pairs"] = result.real_pairs
    return report


def _response_table(responses: Responses) -> Table:
    titles = [f"difference at {step}" for step in MEASURED_STEPS]
    table = Table("action", *titles, "motion", "dreamed (%)", "right way", "real (%)", "right way", "pairs")
    for result in responses.responses:
        values = (result.motion, result.agreement, result.real_motion, result.real_agreement)
        table.add_row(
            result.probe.name,
            *map(shown, result.differences.values()),
            result.probe.measure or "–",
            *map(shown, values),
            str(result.real_pairs),
        )
    return table


def _response_picture(responses: Responses) -> np.ndarray:
    steps = (0, *MEASURED_STEPS)
    rows = [Row(name, frames[[*steps]]) for name, frames in responses.pictures.items()]
    return grid_picture(["context", *(f"step {step}" for step in MEASURED_STEPS)], rows)
