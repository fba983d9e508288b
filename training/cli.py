"""``diamond-train``: collects episodes, trains a world and its agent, puts a world together."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from diamond_engine.actions import AtariGame, atari_game
from diamond_engine.command_line import add_version, refuse
from diamond_engine.diffusion import DIFFUSIONS, EDM, SigmaDistribution
from diamond_engine.emulator import FRAME_SIZE
from diamond_engine.errors import UsageError
from diamond_engine.runtime import DTYPES, Runtime
from diamond_engine.worlds import COMPONENTS, write_world
from training.algorithm.agent import MODEL_FREE, SIZES, AgentTraining
from training.algorithm.atari import AtariTraining, algorithm_config
from training.algorithm.replay import EVERY_STEP_ALIKE
from training.algorithm.world_model import (
    DENOISER_SIZES,
    REWARD_END_SIZES,
    Component,
    WorldModelTraining,
    world_architecture,
)
from training.components.actor_critic import ActorCriticTrainingConfig
from training.components.assemble import assemble, with_default_preset, with_reward_end
from training.components.denoiser import DenoiserTrainingConfig
from training.components.reward_end import RewardEndTrainingConfig
from training.data.collect import RANDOM, Mixture, collect_mixture
from training.data.episodes import GameEpisodes
from training.data.scripted import TRACKER
from training.first_person.cli import csgo, csgo_data, import_videos
from training.recorders.doom.cli import record
from training.runs import command
from training.runs.progress import make_console
from training.runs.session import Session
from training.runs.trained import find_agent, find_world
from training.runs.workers import ALONE, Workers
from training.suite.cli import suite

PROGRAM = "diamond-train"

app = typer.Typer(
    help="Make worlds: collect episodes, train the world model, train an agent in it or without it.\n\n"
    "Every command says what it will cost, can be stopped with Ctrl-C, and continues when it is run again. "
    "A world from nothing: atari, as in the paper; or its single steps: collect, world-model, agent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
add_version(app, PROGRAM)
app.add_typer(record, name="record")
app.add_typer(csgo_data, name="csgo-data")
app.command("csgo")(csgo)
app.command("import-videos")(import_videos)
app.command("suite")(suite)

MODEL_FREE_OPTIONS = (
    "updates",
    "num_envs",
    "horizon",
    "learning_rate",
    "entropy",
    "size",
    "kickstart_updates",
    "snapshots_every",
)
Game = Annotated[str, typer.Argument(metavar="GAME", help="Atari game, such as Breakout.", show_default=False)]
Out = Annotated[Path, typer.Option(file_okay=False, help="Folder to write to; a run that is there continues.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all randomness.")]
Device = Annotated[str, typer.Option(help="Torch device to compute on, or 'auto' for the fastest.")]
Dtype = Annotated[str, typer.Option(help="Precision: auto, float32 or bfloat16.")]
TimeBudget = Annotated[
    float | None,
    typer.Option(metavar="MINUTES", help="Save and stop after so long; run again to go on.", show_default=False),
]
NumEnvs = Annotated[int, typer.Option(help="Games side by side.")]
Horizon = Annotated[int, typer.Option(help="Steps of every game between updates.")]
Entropy = Annotated[float, typer.Option(help="Weight of the entropy bonus.")]
Size = Annotated[str, typer.Option(help="Network: paper, or small, 4 times as fast on a CPU.")]
Kickstart = Annotated[
    int,
    typer.Option(
        metavar="UPDATES", help="Follow the scripted player (Breakout, Pong) at first, less and less until then."
    ),
]


@app.command("collect")
def collect_command(
    game: Game,
    out: Out,
    steps: Annotated[int, typer.Option(help="Steps of this policy, ε, hold and seed the folder shall have in all.")],
    policy: Annotated[
        str,
        typer.Option(
            help="Who plays: random, tracker (a scripted player: Breakout, Pong), a world, or the run of an agent "
            "(or one of its snapshots)."
        ),
    ] = RANDOM,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(help="Probability of a random action [default: 0]; several share the steps.", show_default=False),
    ] = None,
    hold: Annotated[
        float, typer.Option(help="Steps for which a random action is held on average, as a person holds a key.")
    ] = 1.0,
    num_envs: NumEnvs = 16,
    seed: Seed = 0,
    time_budget: TimeBudget = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Play the real game and file episodes; a lost life ends one.

    What the folder already has of the same policy, ε, hold and seed counts, so that the same command continues where it
    stopped; another policy, ε, hold or seed adds its steps to the same folder. Games under way at the end are filed as
    truncated episodes.
    """
    atari = atari_game(game)
    epsilons = tuple(epsilon or (0.0,))
    _check_positive(steps=steps, num_envs=num_envs)
    if not all(0 <= value <= 1 for value in epsilons):
        raise UsageError(f"--epsilon must lie between 0 and 1: {', '.join(map(str, epsilons))}")
    if not 1 <= hold < math.inf:
        raise UsageError(f"--hold must be a number of at least 1, not {hold:g}")
    session = _session(out, seed, time_budget, device, dtype)
    player = policy if policy in (RANDOM, TRACKER) else find_agent(policy, atari)
    collect_mixture(Mixture(atari, player, epsilons, steps, num_envs, hold), session)


@app.command()
def world_model(
    game: Game,
    data: Annotated[Path, typer.Option(help="Folder of episodes; new ones are noticed while training runs.")],
    out: Out,
    components: Annotated[str, typer.Option(help="What to train, in order: denoiser, reward-end.")] = (
        "denoiser,reward-end"
    ),
    updates: Annotated[
        int | None, typer.Option(help="Updates of each component in all [default: 8000, reward-end 2000].")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Segments an update, of all processes together.")] = 32,
    micro_batch: Annotated[
        int | None,
        typer.Option(
            help="Segments that a process computes at once at most; the rest accumulates, with the same result "
            "[default: all of its share].",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Step size.")] = 1e-4,
    autoregressive_steps: Annotated[
        int, typer.Option(help="Denoiser: further frames predicted from its own predictions.")
    ] = 1,
    diffusion: Annotated[
        str, typer.Option(help="Denoiser: edm, or ddpm, which the paper compares it with; see diamond-eval drift.")
    ] = EDM,
    noise_mean: Annotated[
        float, typer.Option(help="Denoiser, edm: mean of ln σ in training; higher dwells on what the context tells.")
    ] = SigmaDistribution.loc,
    ema: Annotated[
        float, typer.Option(help="Denoiser: decay an update of the average of weights to export; 0 for none.")
    ] = 0.0,
    motion_weight: Annotated[
        float,
        typer.Option(
            help="Denoiser: how many times more errors near moving things count; finds small ones, such as a ball, "
            "sooner. Finish with 0."
        ),
    ] = 0.0,
    denoiser_size: Annotated[
        str, typer.Option(help="Of the denoiser: paper, or small, much cheaper to train and to play: for CPUs.")
    ] = "paper",
    sampler_share: Annotated[
        float,
        typer.Option(
            help="Denoiser, edm: share of the noise levels that are the sampler's own, whose first decides what a "
            "frame shows."
        ),
    ] = 0.0,
    first_share: Annotated[
        float,
        typer.Option(
            help="Denoiser: of the sampler's noise levels, share of its first one. 1 learns fastest, and only what one "
            "denoising step needs."
        ),
    ] = DenoiserTrainingConfig.first_share,
    balance: Annotated[
        bool,
        typer.Option(
            "--balance/--no-balance",
            help="Denoiser: divide the loss at a noise level by its running mean, so that none drowns the others.",
        ),
    ] = False,
    priority_share: Annotated[
        float,
        typer.Option(
            help="Denoiser: share of the segments drawn by the model's newest error near moving things; needs "
            "--sampler-share."
        ),
    ] = 0.0,
    crop: Annotated[
        int,
        typer.Option(help="Denoiser: side of the square around motion that most updates see of a frame; 0: all of it."),
    ] = 0,
    decay: Annotated[
        bool, typer.Option("--decay/--no-decay", help="Let the step size fall to 0 until the last update.")
    ] = False,
    reward_end_size: Annotated[
        str, typer.Option(help="Of the reward/end model: paper, or small, which learns much faster on a CPU.")
    ] = "paper",
    transitions: Annotated[int, typer.Option(help="Reward/end model: transitions of a segment.")] = (
        RewardEndTrainingConfig.transitions
    ),
    event_share: Annotated[
        float,
        typer.Option(
            help="Reward/end model: share of segments placed over a reward or an end. Finds rare events sooner; "
            "finish with 0, as it foretells them too often."
        ),
    ] = 0.0,
    dreamed_share: Annotated[
        float,
        typer.Option(
            help="Reward/end model: share of segments whose frames are dreamed in the world of --init under the real "
            "actions, as it will judge them in play."
        ),
    ] = 0.0,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="WORLD",
            help="Start from the denoiser and reward/end model of this world; the one that is not trained stays.",
            show_default=False,
        ),
    ] = None,
    compile_networks: Annotated[
        bool,
        typer.Option(
            "--compile/--no-compile", help="torch.compile: a minute or two at first, then up to 1.6 times as fast."
        ),
    ] = False,
    seed: Seed = 0,
    time_budget: TimeBudget = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Train the world model on episodes.

    Trains the denoiser and the reward/end model at the paper's size. OUT/denoiser and OUT/reward_end hold the runs,
    OUT/world the world so far: playable once both exist.

    On several GPUs or machines: torchrun --nproc-per-node 4 -m training.cli world-model ... (--data and --out on a disk
    that all see). The batch is shared out, the result is that of one process, and any number of them continues it.
    """
    atari = atari_game(game)
    _check_positive(updates=updates, batch_size=batch_size, learning_rate=learning_rate, transitions=transitions)
    _check_positive(micro_batch=micro_batch)
    workers = Workers.of_environment(micro_batch)
    workers.parts(batch_size)
    if autoregressive_steps < 0 or motion_weight < 0 or not 0 <= ema < 1 or not 0 <= event_share <= 1:
        raise UsageError(
            "--autoregressive-steps and --motion-weight must be at least 0, --ema at least 0 and below 1, "
            "--event-share from 0 to 1"
        )
    if diffusion not in DIFFUSIONS:
        raise UsageError(f"unknown --diffusion {diffusion!r}: use {' or '.join(DIFFUSIONS)}")
    if reward_end_size not in REWARD_END_SIZES:
        raise UsageError(f"unknown --reward-end-size {reward_end_size!r}: use {', '.join(REWARD_END_SIZES)}")
    if denoiser_size not in DENOISER_SIZES:
        raise UsageError(f"unknown --denoiser-size {denoiser_size!r}: use {', '.join(DENOISER_SIZES)}")
    architecture = world_architecture(atari, reward_end_size, diffusion, denoiser_size)
    denoiser = DenoiserTrainingConfig(
        batch_size=batch_size,
        autoregressive_steps=autoregressive_steps,
        sigma=SigmaDistribution(loc=noise_mean),
        age_weights=EVERY_STEP_ALIKE,
        ema_decay=ema,
        motion_weight=motion_weight,
        sampler_share=sampler_share,
        sampler=architecture.preset("quality").dynamics,
        first_share=first_share,
        balanced=balance,
        priority_share=priority_share,
        crop_size=crop,
    )
    reward_end = RewardEndTrainingConfig(
        batch_size=batch_size,
        transitions=transitions,
        age_weights=EVERY_STEP_ALIKE,
        event_share=event_share,
        dreamed_share=dreamed_share,
    )
    known = {
        "denoiser": _component("denoiser", denoiser, updates or 8000, learning_rate, decay),
        "reward-end": _component("reward_end", reward_end, updates or 2000, learning_rate, decay),
    }
    names = [name.strip().replace("_", "-") for name in components.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"unknown component {unknown[0]!r} in --components: use {', '.join(known)}")
    if not all(0 <= share <= 1 for share in (sampler_share, first_share, priority_share, dreamed_share)):
        raise UsageError("--sampler-share, --first-share, --priority-share and --dreamed-share must lie from 0 to 1")
    if not 0 <= crop <= FRAME_SIZE:
        raise UsageError(f"--crop must lie from 0 to {FRAME_SIZE}, not {crop}")
    session = _session(out, seed, time_budget, device, dtype, workers)
    start = None if init is None else find_world(init, atari)
    training = WorldModelTraining(
        architecture=architecture,
        data=GameEpisodes(data, atari),
        session=session,
        init=start,
        compiled=compile_networks,
    )
    training.train([known[name] for name in names])


@app.command()
def agent(
    game: Game,
    world: Annotated[str, typer.Option(help="World to dream in: a run of world-model, a world folder, or a name.")],
    out: Out,
    data: Annotated[
        Path | None,
        typer.Option(help="Episodes whose contexts dreams start from [default: the world's].", show_default=False),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Sampler preset [default: the world's].")] = None,
    updates: Annotated[int, typer.Option(help="Updates in all.")] = 5000,
    num_envs: NumEnvs = 32,
    horizon: Horizon = 15,
    learning_rate: Annotated[float, typer.Option(help="Step size.")] = 1e-4,
    entropy: Entropy = 0.001,
    size: Size = "paper",
    kickstart_updates: Kickstart = 0,
    seed: Seed = 0,
    time_budget: TimeBudget = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Train an agent in a world's dreams.

    OUT/world is the world with the agent so far.
    """
    atari = atari_game(game)
    config = _actor_critic_config(
        ActorCriticTrainingConfig(), updates, num_envs, horizon, learning_rate, entropy, size, kickstart_updates
    )
    session = _session(out, seed, time_budget, device, dtype)
    episodes = None if data is None else GameEpisodes(data, atari)
    training = AgentTraining(atari, config, updates, num_envs, session, size=size)
    training.in_imagination(find_world(world, atari), preset, episodes)


@app.command()
def atari(
    context: typer.Context,
    game: Game,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Run folder; a run that is there continues [default: runs/GAME-PRESET-seedSEED].",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="Size of Algorithm 1: paper, or quick, which only shows it at work.")] = (
        "paper"
    ),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Change a setting, such as denoiser.batch_size=16; repeatable."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Change settings by a YAML file.", show_default=False)
    ] = None,
    static_data: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Learn from these episodes and collect none.", show_default=False),
    ] = None,
    seed: Seed = 0,
    time_budget: TimeBudget = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    model_free: Annotated[
        bool,
        typer.Option("--model-free", help="Learn on the real emulator alone instead; the options below go with it."),
    ] = False,
    updates: Annotated[int, typer.Option(help="Model-free: updates in all.")] = 8000,
    num_envs: Annotated[int, typer.Option(help="Model-free: games side by side.")] = 32,
    horizon: Annotated[int, typer.Option(help="Model-free: steps of every game between updates.")] = 15,
    learning_rate: Annotated[float, typer.Option(help="Model-free: step size.")] = MODEL_FREE.optimiser.learning_rate,
    entropy: Annotated[float, typer.Option(help="Model-free: weight of the entropy bonus.")] = (
        MODEL_FREE.loss.weight_entropy
    ),
    size: Size = "paper",
    kickstart_updates: Kickstart = 0,
    snapshots_every: Annotated[
        int | None,
        typer.Option(
            metavar="UPDATES",
            help="Model-free: also keep the agent every so often in OUT/snapshots/: policies of every strength.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a world and its agent on a game, as in the paper (Algorithm 1).

    Collects real steps, learns the world from them, trains the agent in its dreams, and again, a thousand epochs long;
    then plays 100 games (OUT/final.json). OUT/world is playable from the first epoch on. Run the same command again to
    continue exactly where it stopped, whatever stopped it.

    A first look, in minutes: diamond-train atari Breakout --preset quick
    """
    played = atari_game(game)
    if model_free:
        if settings or config or static_data or preset != "paper":
            raise UsageError("--preset, --set, --config and --static-data are for Algorithm 1, not for --model-free")
        training = _actor_critic_config(
            MODEL_FREE, updates, num_envs, horizon, learning_rate, entropy, size, kickstart_updates
        )
        _check_positive(snapshots_every=snapshots_every)
        session = _session(out or _default_out(played, "model-free", seed), seed, time_budget, device, dtype)
        AgentTraining(played, training, updates, num_envs, session, snapshots_every, size).model_free()
        return
    refuse(context, MODEL_FREE_OPTIONS, "is for --model-free; Algorithm 1 has --set")
    algorithm = algorithm_config(played, preset, config, settings or [], static=static_data is not None)
    session = _session(out or _default_out(played, preset, seed), seed, time_budget, device, dtype)
    AtariTraining(played, preset, algorithm, session, static_data).train()


@app.command("assemble")
def assemble_command(
    world: Annotated[str, typer.Option(help="World to take: a run of world-model or agent, a folder, or a name.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write the world to.")],
    agent: Annotated[
        str | None,
        typer.Option(help="Agent to put in: a run of atari or agent, or a snapshot [default: the world's own]."),
    ] = None,
    reward_end: Annotated[
        str | None,
        typer.Option(help="World whose reward/end model to put in [default: the world's own].", show_default=False),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Sampler preset to play with unless another is asked for.", show_default=False),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Precision of the weights on disk: bfloat16 or float32.")] = "bfloat16",
    note: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Add this to the world's provenance, such as licence=MIT; repeatable."),
    ] = None,
) -> None:
    """Put a world together from trained parts.

    Its world.yaml tells the origin of each.
    """
    if dtype not in DTYPES:
        raise UsageError(f"unknown dtype {dtype!r}: use {', '.join(DTYPES)}")
    notes: dict[str, str] = {}
    for entry in note or []:
        key, equals, value = entry.partition("=")
        if not (key and equals):
            raise UsageError(f"--note must be KEY=VALUE, not {entry!r}")
        notes[key] = value
    base = find_world(world)
    if reward_end is not None:
        base = with_reward_end(base, find_world(reward_end, base.game))
    if preset is not None:
        base = with_default_preset(base, preset)
    whole = assemble(base, None if agent is None else find_agent(agent, base.game), notes)
    write_world(out, whole, DTYPES[dtype])
    parts = [name for name in (*COMPONENTS, "spawns") if getattr(whole, name) is not None]
    make_console().print(f"{out} holds {whole.config.name} ({', '.join(parts)}) in {dtype}")


def _component(
    name: str,
    config: DenoiserTrainingConfig | RewardEndTrainingConfig,
    updates: int,
    learning_rate: float,
    decay: bool,
) -> Component:
    """A component whose step size is ``learning_rate`` and falls to 0 by its last update where it shall ``decay``."""
    optimiser = replace(config.optimiser, learning_rate=learning_rate, decay_steps=updates if decay else 0)
    return Component(name, replace(config, optimiser=optimiser), updates)


def _default_out(game: AtariGame, mode: str, seed: int) -> Path:
    return Path("runs") / f"{game.name}-{mode}-seed{seed}"


def _session(
    out: Path, seed: int, time_budget: float | None, device: str, dtype: str, workers: Workers = ALONE
) -> Session:
    _check_positive(time_budget=time_budget)
    if (started := Workers.of_environment().count) != workers.count:
        raise UsageError(f"torchrun started {started} processes: only world-model and csgo take several")
    seconds = None if time_budget is None else 60 * time_budget
    runtime = Runtime.choose(workers.device(device), dtype)
    return Session(out, seed, runtime, seconds, make_console(quiet=not workers.leads), workers)


def _actor_critic_config(
    base: ActorCriticTrainingConfig,
    updates: int,
    num_envs: int,
    horizon: int,
    learning_rate: float,
    entropy: float,
    size: str,
    kickstart_updates: int,
) -> ActorCriticTrainingConfig:
    _check_positive(updates=updates, num_envs=num_envs, horizon=horizon, learning_rate=learning_rate)
    if size not in SIZES:
        raise UsageError(f"unknown --size {size!r}: use {', '.join(SIZES)}")
    if kickstart_updates < 0:
        raise UsageError(f"--kickstart-updates must be at least 0, not {kickstart_updates}")
    return replace(
        base,
        horizon=horizon,
        kickstart_updates=kickstart_updates,
        loss=replace(base.loss, weight_entropy=entropy),
        optimiser=replace(base.optimiser, learning_rate=learning_rate),
    )


def _check_positive(**options: float | None) -> None:
    for name, value in options.items():
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be more than 0, not {value}")


def main() -> None:
    """The console script."""
    command.run(app, PROGRAM)


if __name__ == "__main__":
    main()
