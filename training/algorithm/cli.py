"""``diamond-train algorithm1``, ``world-model`` and ``agent``: Algorithm 1 and its single steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from diamond_engine.command_line import refuse
from diamond_engine.diffusion import DIFFUSIONS, EDM, SigmaDistribution
from diamond_engine.errors import UsageError
from diamond_engine.games import Game, emulated_game
from diamond_engine.token_worlds import IRIS, TokenWorld
from diamond_engine.worlds import DIAMOND, KINDS
from training.algorithm.agent import MODEL_FREE, SIZES, AgentTraining
from training.algorithm.algorithm1 import Algorithm1Training, algorithm_config
from training.algorithm.diamond import DENOISER_SIZES, REWARD_END_SIZES, DiamondTraining, world_architecture
from training.algorithm.iris import IRIS_SIZES, IrisTraining, iris_architecture
from training.algorithm.options import (
    DIAMOND_OPTIONS,
    IRIS_OPTIONS,
    MODEL_FREE_OPTIONS,
    AlgorithmPreset,
    AutoregressiveSteps,
    Balance,
    BatchSize,
    CompileNetworks,
    Components,
    ComponentUpdates,
    ContextError,
    Crop,
    Decay,
    DenoiserSize,
    Diffusion,
    DreamedShare,
    Ema,
    Entropy,
    EpisodesFolder,
    EventShare,
    FirstShare,
    FrameSize,
    Horizon,
    Init,
    IrisSize,
    Kickstart,
    LearningRate,
    MicroBatch,
    ModelFree,
    ModelFreeEntropy,
    ModelFreeHorizon,
    ModelFreeLearningRate,
    ModelFreeNumEnvs,
    ModelFreeUpdates,
    MotionWeight,
    NoiseMean,
    PerceptualFile,
    PriorityShare,
    RewardEndSize,
    RunOut,
    SamplerShare,
    Scan,
    Settings,
    SettingsFile,
    Size,
    SnapshotsEvery,
    StaticData,
    Transitions,
    WorldKind,
)
from training.algorithm.world_model import Component
from training.components.actor_critic import ActorCriticTrainingConfig
from training.components.denoiser import DenoiserTrainingConfig
from training.components.perceptual import read_perceptual_loss
from training.components.reward_end import RewardEndTrainingConfig
from training.components.token_transformer import TransformerTrainingConfig
from training.components.tokenizer import TokenizerTrainingConfig
from training.data.episodes import GameEpisodes
from training.data.segments import EVERY_STEP_ALIKE
from training.runs.options import Device, Dtype, GameName, NumEnvs, Out, Seed, TimeBudget, check_positive, open_session
from training.runs.session import Session
from training.runs.trained import find_world
from training.runs.workers import Workers


def world_model(
    context: typer.Context,
    game: GameName,
    data: EpisodesFolder,
    out: Out,
    kind: WorldKind = DIAMOND,
    components: Components = None,
    updates: ComponentUpdates = None,
    batch_size: BatchSize = None,
    micro_batch: MicroBatch = None,
    learning_rate: LearningRate = 1e-4,
    autoregressive_steps: AutoregressiveSteps = 1,
    context_error: ContextError = 0.0,
    diffusion: Diffusion = EDM,
    noise_mean: NoiseMean = SigmaDistribution.loc,
    ema: Ema = 0.0,
    motion_weight: MotionWeight = 0.0,
    denoiser_size: DenoiserSize = "paper",
    sampler_share: SamplerShare = 0.0,
    first_share: FirstShare = DenoiserTrainingConfig.first_share,
    balance: Balance = False,
    priority_share: PriorityShare = 0.0,
    scan: Scan = 0,
    crop: Crop = 0,
    decay: Decay = False,
    reward_end_size: RewardEndSize = "paper",
    transitions: Transitions = RewardEndTrainingConfig.transitions,
    event_share: EventShare = 0.0,
    dreamed_share: DreamedShare = 0.0,
    iris_size: IrisSize = "paper",
    perceptual: PerceptualFile = None,
    init: Init = None,
    compile_networks: CompileNetworks = False,
    seed: Seed = 0,
    time_budget: TimeBudget = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Train the world model on episodes.

    Trains the denoiser and the reward/end model at the paper's size, or, with --kind iris, the tokenizer and the
    transformer of IRIS. A folder of OUT, named like it, holds the run of each, OUT/world the world so far: playable
    once both exist.

    On several GPUs or machines: torchrun --nproc-per-node 4 -m training.cli world-model ... (--data and --out on a disk
    that all see). The batch is shared out, the result is that of one process, and any number of them continues it.
    """
    episodes = GameEpisodes(data, emulated_game(game))
    played = episodes.game
    check_positive(updates=updates, batch_size=batch_size, learning_rate=learning_rate, transitions=transitions)
    if kind not in KINDS:
        raise UsageError(f"unknown --kind {kind!r}: use {' or '.join(KINDS)}")
    refuse(context, IRIS_OPTIONS if kind == DIAMOND else DIAMOND_OPTIONS, f"is not for --kind {kind}")
    if kind == IRIS:
        session = open_session(out, seed, time_budget, device, dtype)
        training = _iris_training(episodes, iris_size, perceptual, session, init, compile_networks)
        training.train(_iris_components(components, updates, batch_size or 64, learning_rate, decay, perceptual))
        return
    batch_size = batch_size or 32
    check_positive(micro_batch=micro_batch)
    workers = Workers.of_environment(micro_batch)
    workers.parts(batch_size)
    _check_ranges(autoregressive_steps, motion_weight, ema, event_share)
    _check_sizes(diffusion, reward_end_size, denoiser_size)
    architecture = world_architecture(played, reward_end_size, diffusion, denoiser_size)
    denoiser = DenoiserTrainingConfig(
        batch_size=batch_size,
        autoregressive_steps=autoregressive_steps,
        context_error=context_error,
        sigma=SigmaDistribution(loc=noise_mean),
        age_weights=EVERY_STEP_ALIKE,
        ema_decay=ema,
        motion_weight=motion_weight,
        sampler_share=sampler_share,
        sampler=architecture.preset("quality").dynamics,
        first_share=first_share,
        balanced=balance,
        priority_share=priority_share,
        scan=scan,
        crop_size=crop,
    )
    if denoiser.first_level_alone:
        architecture = replace(architecture, default_preset="fast")
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
    chosen = _chosen(components or "denoiser,reward-end", known)
    _check_shares(sampler_share, first_share, priority_share, dreamed_share)
    if not 0 <= crop <= played.frame_height:
        raise UsageError(f"--crop must lie from 0 to {played.frame_height}, not {crop}")
    session = open_session(out, seed, time_budget, device, dtype, workers)
    start = None if init is None else find_world(init, played)
    DiamondTraining(architecture, episodes, session, start, compile_networks).train(chosen)


def _iris_training(
    episodes: GameEpisodes,
    size: str,
    perceptual: Path | None,
    session: Session,
    init: str | None,
    compile_networks: bool,
) -> IrisTraining:
    if size not in IRIS_SIZES:
        raise UsageError(f"unknown --iris-size {size!r}: use {', '.join(IRIS_SIZES)}")
    start = None if init is None else find_world(init, episodes.game)
    if start is not None and not isinstance(start, TokenWorld):
        raise UsageError(f"{init}, given as --init, is no world of IRIS")
    looks = None if perceptual is None else read_perceptual_loss(perceptual, session.runtime)
    return IrisTraining(iris_architecture(episodes.game, size), episodes, session, start, compile_networks, looks)


def _iris_components(
    components: str | None,
    updates: int | None,
    batch_size: int,
    learning_rate: float,
    decay: bool,
    perceptual: Path | None,
) -> list[Component]:
    """The tokenizer of IRIS sees as many frames an update as 4 to a segment of the transformer."""
    tokenizer = TokenizerTrainingConfig(4 * batch_size, perceptual_weight=0.0 if perceptual is None else 1.0)
    transformer = TransformerTrainingConfig(batch_size)
    known = {
        "tokenizer": _component("tokenizer", tokenizer, updates or 8000, learning_rate, decay),
        "transformer": _component("transformer", transformer, updates or 8000, learning_rate, decay),
    }
    return _chosen(components or "tokenizer,transformer", known)


def agent(
    game: GameName,
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
    learning_rate: LearningRate = 1e-4,
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
    played = emulated_game(game)
    config = _actor_critic_config(
        ActorCriticTrainingConfig(), updates, num_envs, horizon, learning_rate, entropy, size, kickstart_updates
    )
    session = open_session(out, seed, time_budget, device, dtype)
    dreamed = find_world(world, played)
    episodes = None if data is None else GameEpisodes(data, dreamed.game)
    training = AgentTraining(dreamed.game, config, updates, num_envs, session, size=size)
    training.in_imagination(dreamed, preset, episodes)


def algorithm1(
    context: typer.Context,
    game: GameName,
    out: RunOut = None,
    preset: AlgorithmPreset = "paper",
    settings: Settings = None,
    config: SettingsFile = None,
    static_data: StaticData = None,
    seed: Seed = 0,
    time_budget: TimeBudget = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    model_free: ModelFree = False,
    updates: ModelFreeUpdates = 8000,
    num_envs: ModelFreeNumEnvs = 32,
    horizon: ModelFreeHorizon = 15,
    learning_rate: ModelFreeLearningRate = MODEL_FREE.optimiser.learning_rate,
    entropy: ModelFreeEntropy = MODEL_FREE.loss.weight_entropy,
    size: Size = "paper",
    kickstart_updates: Kickstart = 0,
    snapshots_every: SnapshotsEvery = None,
    frame_size: FrameSize = 64,
) -> None:
    """Train a world and its agent on a game, as in the paper (Algorithm 1).

    Collects real steps, learns the world from them, trains the agent in its dreams, and again, a thousand epochs long;
    then plays 100 games (OUT/final.json). OUT/world is playable from the first epoch on. Run the same command again to
    continue exactly where it stopped, whatever stopped it.

    A first look, in minutes: diamond-train algorithm1 Breakout --preset quick
    """
    played = emulated_game(game).sized(frame_size)
    if model_free:
        if settings or config or static_data or preset != "paper":
            raise UsageError("--preset, --set, --config and --static-data are for Algorithm 1, not for --model-free")
        training = _actor_critic_config(
            MODEL_FREE, updates, num_envs, horizon, learning_rate, entropy, size, kickstart_updates
        )
        check_positive(snapshots_every=snapshots_every)
        session = open_session(out or _default_out(played, "model-free", seed), seed, time_budget, device, dtype)
        AgentTraining(played, training, updates, num_envs, session, snapshots_every, size).model_free()
        return
    refuse(context, MODEL_FREE_OPTIONS, "is for --model-free; Algorithm 1 has --set")
    algorithm = algorithm_config(played, preset, config, settings or [], static=static_data is not None)
    session = open_session(out or _default_out(played, preset, seed), seed, time_budget, device, dtype)
    Algorithm1Training(played, preset, algorithm, session, static_data).train()


def _check_ranges(autoregressive_steps: int, motion_weight: float, ema: float, event_share: float) -> None:
    if autoregressive_steps < 0 or motion_weight < 0 or not 0 <= ema < 1 or not 0 <= event_share <= 1:
        raise UsageError(
            "--autoregressive-steps and --motion-weight must be at least 0, --ema at least 0 and below 1, "
            "--event-share from 0 to 1"
        )


def _check_sizes(diffusion: str, reward_end_size: str, denoiser_size: str) -> None:
    if diffusion not in DIFFUSIONS:
        raise UsageError(f"unknown --diffusion {diffusion!r}: use {' or '.join(DIFFUSIONS)}")
    if reward_end_size not in REWARD_END_SIZES:
        raise UsageError(f"unknown --reward-end-size {reward_end_size!r}: use {', '.join(REWARD_END_SIZES)}")
    if denoiser_size not in DENOISER_SIZES:
        raise UsageError(f"unknown --denoiser-size {denoiser_size!r}: use {', '.join(DENOISER_SIZES)}")


def _check_shares(*shares: float) -> None:
    if not all(0 <= share <= 1 for share in shares):
        raise UsageError("--sampler-share, --first-share, --priority-share and --dreamed-share must lie from 0 to 1")


def _chosen(names: str, known: Mapping[str, Component]) -> list[Component]:
    """The named components (joined by commas), in training order."""
    components = [name.strip().replace("_", "-") for name in names.split(",")]
    unknown = [name for name in components if name not in known]
    if unknown:
        raise UsageError(f"unknown component {unknown[0]!r} in --components: use {', '.join(known)}")
    return [known[name] for name in components]


def _component(
    name: str,
    config: DenoiserTrainingConfig | RewardEndTrainingConfig | TokenizerTrainingConfig | TransformerTrainingConfig,
    updates: int,
    learning_rate: float,
    decay: bool,
) -> Component:
    """A component with step size ``learning_rate``, which falls to 0 by its last update if ``decay``."""
    optimiser = replace(config.optimiser, learning_rate=learning_rate, decay_steps=updates if decay else 0)
    return Component(name, replace(config, optimiser=optimiser), updates)


def _default_out(game: Game, mode: str, seed: int) -> Path:
    return Path("runs") / f"{game.file_name}-{mode}-seed{seed}"


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
    check_positive(updates=updates, num_envs=num_envs, horizon=horizon, learning_rate=learning_rate)
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
