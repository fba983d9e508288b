"""``diamond-eval play``: measures what a player notices."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from diamond_engine import load_world
from diamond_engine.command_line import refuse
from diamond_engine.errors import UsageError
from diamond_engine.runtime import Runtime
from diamond_engine.world_model import World
from training.evaluation.commands.options import (
    Device,
    Dtype,
    NumEnvs,
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
from training.evaluation.play.measurement import Playing, measure_play, planned_frames, seconds_a_frame, why_not
from training.evaluation.reports.play import play_report, play_tables
from training.evaluation.reports.report import Report, table_of
from training.first_person.footage import open_footage
from training.runs.progress import duration, make_console, progress


def play(
    context: typer.Context,
    world_name: WorldName,
    weights: Weights = None,
    steps: Annotated[
        int, typer.Option(min=0, help="Steps of every player in the dream, and in the game; 0 leaves this part out.")
    ] = Playing.steps,
    events: Annotated[
        int, typer.Option(min=0, help="Dreams of every kind of event, at most; 0 leaves this part out.")
    ] = Playing.events,
    recorded: Annotated[
        int, typer.Option(min=1, help="Real steps of the scripted player in which events are found.")
    ] = Playing.recorded,
    long: Annotated[
        int, typer.Option(min=0, help="Steps of the dreams whose balls are counted; 0 leaves this part out.")
    ] = Playing.long,
    contexts: Annotated[
        int, typer.Option(min=0, help="Dreams beside real frames (moving pixels, sharpness); 0 leaves this part out.")
    ] = Playing.contexts,
    data: Recordings = None,
    preset: PresetName = None,
    denoising_steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps a frame.")] = None,
    num_envs: NumEnvs = 16,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
) -> None:
    """Measure what a player notices of a world.

    The same players play in the dream and in the real game: the world's agent with 0, 0.1 and 0.3 random actions, the
    scripted player of Breakout or Pong, random actions, and random actions held for 8 steps. Steps between ends (a
    lost life is one) and return a life are all steps, or rewards, over all ends; intervals: 95 %, bootstrap over lives.
    Rewards count as -1 or 1. The rank correlation (Spearman's) says whether the dream tells good players from bad.

    Games with a scripted player: what really happens to the ball (the paddle returns it, it bounces, a brick is hit, it
    is missed, a point is made) is dreamed from 3 to 5 steps before, with the real actions. The share whose ball is
    within 3 pixels of the real one, and whose reward or end comes within 2 steps of the real one; made up is the share
    that has one where there is really none. Intervals: Wilson, 95 %. In long dreams that nothing ends, the share of
    frames with one ball (or none where it may be out of sight) and one paddle.

    Moving pixels: of those within 4 of what changes between two real frames, the share that the dream has within 16
    levels, beside that of repeating the last real frame.

    A first-person world is compared with the recordings of --data that training leaves out: gradient energy of dreamed
    frames over that of real ones after 1, 15, 50 and 200 steps, as far as the recordings last.

    Example: diamond-eval play atari/Breakout --report play.json
    """
    world = load_world(world_name, weights=weights)
    runtime = Runtime.choose(device, dtype)
    sampler = world.config.preset(preset)
    sampler = sampler if denoising_steps is None else sampler.with_steps(denoising_steps)
    how = Dreaming(sampler, seed, num_envs, device, dtype)
    playing = Playing(steps, events, recorded, long, contexts)
    console = make_console()
    emulated = bool(world.game.emulator)
    if emulated and data is not None:
        raise UsageError(f"{world.config.name} is compared with its emulator: --data is for first-person worlds")
    if not emulated:
        refuse(context, ("steps", "events", "recorded", "long"), "is for worlds of games that can be played here")
    if not emulated and data is None:
        raise UsageError(f"{world.config.name} is compared with recordings: give them with --data")
    footage = None if data is None else open_footage(data, console)
    console.print(_cost(world, how, playing))
    result = measure_play(world, how, playing, footage, partial(progress, console))
    facts: Report = {
        "world": world.config.name,
        "weights": weights or world_name,
        "preset": preset or world.config.default_preset,
        "denoising_steps": sampler.steps,
        "dreams_side_by_side": num_envs,
        "seed": seed,
        **where(runtime),
    }
    reason = why_not(world) if emulated and steps else None
    tell(table_of(facts), *play_tables(result), *([reason] if reason else []))
    file(report, {**facts, **play_report(result)})


def _cost(world: World, how: Dreaming, playing: Playing) -> str:
    """The estimated time, from the speed of a few frames on this machine."""
    parts = planned_frames(world, how, playing)
    if not parts:
        raise UsageError("nothing is left to measure: of --steps, --events, --long and --contexts one must be above 0")
    frames = sum(parts.values())
    pace = seconds_a_frame(world, how)
    each = ", ".join(f"{part} {count:,}" for part, count in parts.items())
    calls = frames * world.config.network_calls(how.preset)
    line = f"up to {frames:,} frames to dream ({each}), {calls:,} frames through the networks that draw"
    return line if pace is None else f"{line}, about {duration(frames * pace)} at {1 / pace:,.1f} frames a second"
