"""The commands that measure a world: ``fidelity``, ``drift``, ``denoising-steps``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from diamond_engine import load_world
from diamond_engine.errors import UsageError
from diamond_engine.runtime import Runtime
from diamond_engine.worlds import DiffusionWorld, of_diffusion
from training.evaluation.commands.first_person import footage_fidelity
from training.evaluation.commands.options import (
    PAPER_DENOISING_STEPS,
    DenoisingSteps,
    Device,
    Dtype,
    Episodes,
    NumEnvs,
    PicturePath,
    PolicyMix,
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
from training.evaluation.drift import Drifting, check_comparable, measure_drift, network_calls, play_real
from training.evaluation.fidelity.denoising_steps import compare_denoising_steps
from training.evaluation.fidelity.episodes import draw_starts, measure_dreams, measure_judgement
from training.evaluation.held_out import POLICY_EPSILONS, collect_held_out, usable_epsilons
from training.evaluation.reports.drift import drift_picture, drift_report, drift_table
from training.evaluation.reports.fidelity import (
    comparison_picture,
    comparison_report,
    comparison_table,
    dream_report,
    dream_table,
    judgement_report,
    judgement_table,
)
from training.evaluation.reports.pictures import strip_picture, write_png
from training.evaluation.reports.report import Report, table_of
from training.runs.progress import make_console, progress

AGENT_EPSILON = 0.1
"""Probability of a random action of an agent in long games; without it, it may wait forever to fire."""


def fidelity(
    world_name: WorldName,
    weights: Weights = None,
    episodes: Episodes = 20,
    contexts_per_episode: Annotated[int, typer.Option(min=1, help="Dreams to start from each episode.")] = 4,
    policy_epsilon: PolicyMix = None,
    data: Recordings = None,
    preset: PresetName = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps a frame.")] = None,
    num_envs: NumEnvs = 16,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
    strip: Annotated[
        Path, typer.Option(dir_okay=False, help="Picture to write: a long episode, real above dreamed.")
    ] = Path("fidelity_strip.png"),
) -> None:
    """Compare dreams with the real game.

    Plays fresh real episodes (from emulator seeds that training never uses), starts dreams from places in them, plays
    the real actions in the dream, and compares after 1, 5, 15 and 50 steps.

    Wrong-pixel ratio: pixels off by more than 16 of 256 levels in any channel, relative to the same count for
    repeating the last real frame; 0 is perfect, 1 no better than a still picture. PSNR: mean over frames; identical
    frames count 89 dB. Rewards and ends: predicted for every real transition and compared with what happened.

    A first-person world is compared with the recordings of --data that training leaves out, up to so many as
    --episodes says, each of its stages by itself.

    Example: diamond-eval fidelity atari/Breakout --episodes 20 --seed 1 --report fidelity.json
    """
    world = load_world(world_name, weights=weights)
    if world.game.emulator and data is not None:
        raise UsageError(f"{world.config.name} is compared with its emulator: --data is for first-person worlds")
    if not world.game.emulator and policy_epsilon is not None:
        raise UsageError(f"{world.config.name} is compared with recordings: --policy-epsilon goes with an emulator")
    runtime = Runtime.choose(device, dtype)
    sampler = world.config.preset(preset)
    sampler = sampler if steps is None else sampler.with_steps(steps)
    how = Dreaming(sampler, seed, num_envs, device, dtype)
    made: Report = {
        "world": world.config.name,
        "weights": weights or world_name,
        "preset": preset or world.config.default_preset,
        **({"denoising_steps": sampler.steps} if sampler.steps else {}),
        "seed": seed,
        **where(runtime),
    }
    if not world.game.emulator:
        file(report, footage_fidelity(world, data, episodes, contexts_per_episode, how, made, strip))
        return
    epsilons = usable_epsilons(world, tuple(policy_epsilon or POLICY_EPSILONS))
    console = make_console()
    with TemporaryDirectory() as folder:
        with progress(console, "playing real episodes", episodes) as show:
            real = collect_held_out(world, Path(folder), episodes, epsilons, seed, device, dtype, show)
        starts = draw_starts(real, world.context_length, contexts_per_episode, seed)
        with progress(console, "dreaming", len(starts)) as show:
            dreams = measure_dreams(world, real, starts, how, show)
        judgement = None
        if isinstance(world, DiffusionWorld) and world.reward_end is not None:
            with progress(console, "judging real transitions", episodes) as show:
                judgement = measure_judgement(world.reward_end, real, world.context_length - 1, runtime, show)
    write_png(strip, strip_picture(dreams.real, dreams.dreamed))
    facts: Report = {
        **made,
        "episodes": episodes,
        "episode_steps": real.num_steps,
        "contexts": len(starts),
        "policy_epsilons": " ".join(map(str, epsilons)),
    }
    tell(table_of(facts), dream_table(dreams), judgement_table(judgement), f"picture: {strip}")
    file(report, {**facts, **dream_report(dreams), **judgement_report(judgement)})


def drift(
    world_names: Annotated[
        list[str], typer.Argument(metavar="WORLD", help="A world, or several of one game to compare side by side.")
    ],
    weights: Weights = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of every dream.")] = 1000,
    denoising_steps: DenoisingSteps = PAPER_DENOISING_STEPS,
    dreams: Annotated[int, typer.Option(min=1, max=500, help="Dreams side by side: more are slower, and surer.")] = 4,
    real_games: Annotated[int, typer.Option(min=1, max=499, help="Other real games to compare with.")] = 16,
    policy_epsilon: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Chance of a random action; 0.1, or 1 for a world without agent, if not given."
        ),
    ] = None,
    preset: PresetName = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
    picture: PicturePath = Path("drift.png"),
) -> None:
    """Measure how far long dreams drift from the real game (Figure 3 of the paper).

    Real games are played by the agent of the first world, from emulator seeds that training never uses. From the same
    starts, with the same actions and the same noise, every world dreams on, with 1, 3 and 10 denoising steps (or
    those given). Nothing ends a dream.

    The distance, in each window of time: mean and standard deviation of every pixel over the dreamed frames, against
    those over the frames of other real games at the same time; the root mean square of both differences, in levels of
    256 (the Fréchet distance of normal distributions with independent pixels). Means move where colours or the scene
    drift, deviations where things freeze, fade or flicker. The column "real" is the same for the real games that
    were followed: that much is chance, and what is above it is drift.

    The picture shows the first game: real frames above, then a row for every number of denoising steps.

    Example: diamond-eval drift atari/Breakout --steps 1000 --report drift.json --picture drift.png

    Side by side: diamond-eval drift runs/edm runs/ddpm --steps 1000
    """
    if len(set(world_names)) < len(world_names):
        raise UsageError("give every world once")
    if weights is not None and len(world_names) > 1:
        raise UsageError("--weights goes with one world: give the others as folders, without it")
    worlds = {name: load_world(name, weights=weights) for name in world_names}
    check_comparable(worlds)
    runtime = Runtime.choose(device, dtype)
    player = worlds[world_names[0]]
    chosen = policy_epsilon if policy_epsilon is not None else AGENT_EPSILON if player.actor_critic else 1.0
    (epsilon,) = usable_epsilons(player, (chosen,))
    numbers = tuple(sorted(set(denoising_steps)))
    how = Drifting(steps, numbers, dreams, real_games, epsilon, preset, seed, device, dtype)
    calls = network_calls(worlds, how)
    console = make_console()
    with progress(console, "playing real games, steps", steps) as show:
        real = play_real(player, how, show)
    with progress(console, "dreaming, calls of networks", calls) as show:
        result = measure_drift(worlds, real, how, show)
    write_png(picture, drift_picture(result))
    facts: Report = {
        "weights": weights or " ".join(world_names),
        "steps": steps,
        "dreams": dreams,
        "real_games": real_games,
        "policy_epsilon": epsilon,
        "preset": preset or player.config.default_preset,
        "seed": seed,
        **where(runtime),
    }
    tell(table_of(facts), drift_table(result), f"picture: {picture}")
    file(report, {**facts, **drift_report(result)})


def denoising_steps(
    world_name: WorldName,
    weights: Weights = None,
    steps: DenoisingSteps = PAPER_DENOISING_STEPS,
    episodes: Episodes = 8,
    contexts_per_episode: Annotated[int, typer.Option(min=1, help="Contexts from each episode.")] = 4,
    draws: Annotated[int, typer.Option(min=2, help="Next frames drawn for each context, from different noise.")] = 8,
    policy_epsilon: PolicyMix = None,
    preset: PresetName = None,
    num_envs: NumEnvs = 16,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    report: ReportPath = None,
    picture: PicturePath = Path("denoising_steps.png"),
) -> None:
    """Compare numbers of denoising steps (Figure 4 of the paper).

    Where the next frame is uncertain, a single step blurs between the possible ones; several steps choose one. From
    places in fresh real episodes, the next frame is drawn again and again, with each number of denoising steps from
    the same contexts, actions and noise. All is measured where the real next frame changes.

    Sharpness: differences between neighbouring pixels, relative to the real frame; below 1 is blurred. Spread: how
    far the draws for one context are apart, in levels of 256; 0 where all noise leads to the same frame. PSNR: of the
    draws against the real frame; a blur between all possibilities may well have the best.

    The picture shows the contexts where fewest and most steps differ most, and is therefore no fair sample.

    Example: diamond-eval denoising-steps atari/Breakout --episodes 8 --report steps.json
    """
    world = of_diffusion(load_world(world_name, weights=weights), "the number of denoising steps")
    runtime = Runtime.choose(device, dtype)
    how = Dreaming(world.config.preset(preset), seed, num_envs, device, dtype)
    epsilons = usable_epsilons(world, tuple(policy_epsilon or POLICY_EPSILONS))
    numbers = sorted(set(steps))
    console = make_console()
    with TemporaryDirectory() as folder:
        with progress(console, "playing real episodes", episodes) as show:
            real = collect_held_out(world, Path(folder), episodes, epsilons, seed, device, dtype, show)
        starts = draw_starts(real, world.context_length, contexts_per_episode, seed)
        with progress(console, "drawing frames", len(starts) * draws * len(numbers)) as show:
            comparison = compare_denoising_steps(world, real, starts, how, numbers, draws, show)
    write_png(picture, comparison_picture(comparison))
    facts: Report = {
        "world": world.config.name,
        "weights": weights or world_name,
        "preset": preset or world.config.default_preset,
        "contexts": len(starts),
        "draws": draws,
        "policy_epsilons": " ".join(map(str, epsilons)),
        "seed": seed,
        **where(runtime),
    }
    tell(table_of(facts), comparison_table(comparison), f"picture: {picture}")
    file(report, {**facts, **comparison_report(comparison)})
