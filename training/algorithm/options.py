"""Options of the commands of Algorithm 1 and of its single steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Horizon = Annotated[int, typer.Option(help="Steps of every game between updates.")]
Entropy = Annotated[float, typer.Option(help="Weight of the entropy bonus.")]
Size = Annotated[str, typer.Option(help="Network: paper, or small, 4 times as fast on a CPU.")]
Kickstart = Annotated[
    int,
    typer.Option(
        metavar="UPDATES", help="Follow the scripted player (Breakout, Pong) at first, less and less until then."
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option(
        file_okay=False,
        help="Run folder; a run that is there continues [default: runs/GAME-PRESET-seedSEED].",
        show_default=False,
    ),
]
AlgorithmPreset = Annotated[
    str, typer.Option(help="Size of Algorithm 1: paper, or quick, which only shows it at work.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a setting, such as denoiser.batch_size=16; repeatable."),
]
SettingsFile = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Change settings by a YAML file.", show_default=False)
]
StaticData = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Learn from these episodes and collect none.", show_default=False),
]
FrameSize = Annotated[int, typer.Option(help="Side of the frames that networks see.")]
ModelFree = Annotated[
    bool,
    typer.Option("--model-free", help="Learn on the real emulator alone instead; the options below go with it."),
]
ModelFreeUpdates = Annotated[int, typer.Option(help="Model-free: updates in all.")]
ModelFreeNumEnvs = Annotated[int, typer.Option(help="Model-free: games side by side.")]
ModelFreeHorizon = Annotated[int, typer.Option(help="Model-free: steps of every game between updates.")]
ModelFreeLearningRate = Annotated[float, typer.Option(help="Model-free: step size.")]
ModelFreeEntropy = Annotated[float, typer.Option(help="Model-free: weight of the entropy bonus.")]
SnapshotsEvery = Annotated[
    int | None,
    typer.Option(
        metavar="UPDATES",
        help="Model-free: also keep the agent every so often in OUT/snapshots/: policies of every strength.",
        show_default=False,
    ),
]
EpisodesFolder = Annotated[Path, typer.Option(help="Folder of episodes; new ones are noticed while training runs.")]
WorldKind = Annotated[
    str, typer.Option(help="diamond, or iris: discrete tokens, which the paper compares diffusion with.")
]
Components = Annotated[
    str | None,
    typer.Option(
        help="What to train, in order [default: denoiser,reward-end; iris: tokenizer,transformer].", show_default=False
    ),
]
ComponentUpdates = Annotated[
    int | None, typer.Option(help="Updates of each component in all [default: 8000, reward-end 2000].")
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        help="Segments an update, of all processes together [default: 32; iris: 64, and 4 times as many frames for "
        "the tokenizer].",
        show_default=False,
    ),
]
IrisSize = Annotated[str, typer.Option(help="Iris: size of its networks: paper, or small, for CPUs.")]
PerceptualFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        dir_okay=False,
        help="Iris: weights of VGG16, which you bring, for the perceptual part of the tokenizer's loss.",
        show_default=False,
    ),
]
MicroBatch = Annotated[
    int | None,
    typer.Option(
        help="Segments that a process computes at once at most; the rest accumulates, with the same result "
        "[default: all of its share].",
        show_default=False,
    ),
]
LearningRate = Annotated[float, typer.Option(help="Step size.")]
AutoregressiveSteps = Annotated[int, typer.Option(help="Denoiser: further frames predicted from its own predictions.")]
ContextError = Annotated[
    float,
    typer.Option(
        min=0,
        help="Denoiser: largest error, in [-1, 1], of a pixel of its own predictions in the context, so that a ball "
        "that fades is drawn again; 0: any.",
    ),
]
Diffusion = Annotated[
    str, typer.Option(help="Denoiser: edm, or ddpm, which the paper compares it with; see diamond-eval drift.")
]
NoiseMean = Annotated[
    float, typer.Option(help="Denoiser, edm: mean of ln σ in training; higher dwells on what the context tells.")
]
Ema = Annotated[float, typer.Option(help="Denoiser: decay an update of the average of weights to export; 0 for none.")]
MotionWeight = Annotated[
    float,
    typer.Option(
        help="Denoiser: how many times more errors near moving things count; finds small ones, such as a ball, "
        "sooner. Finish with 0."
    ),
]
DenoiserSize = Annotated[
    str, typer.Option(help="Of the denoiser: paper, or small, much cheaper to train and to play: for CPUs.")
]
SamplerShare = Annotated[
    float,
    typer.Option(
        help="Denoiser, edm: share of the noise levels that are the sampler's own, whose first decides what a "
        "frame shows."
    ),
]
FirstShare = Annotated[
    float,
    typer.Option(
        help="Denoiser: of the sampler's noise levels, share of its first one. 1 learns fastest, and only what one "
        "denoising step needs."
    ),
]
Balance = Annotated[
    bool,
    typer.Option(
        "--balance/--no-balance",
        help="Denoiser: divide the loss at a noise level by its running mean, so that none drowns the others.",
    ),
]
PriorityShare = Annotated[
    float,
    typer.Option(
        help="Denoiser: share of the segments drawn by the model's newest error near moving things; needs "
        "--sampler-share."
    ),
]
Scan = Annotated[
    int,
    typer.Option(
        min=0,
        help="Denoiser: frames an update that are predicted without learning, until the error of each is known. With "
        "--priority-share and much data, or large errors are found late.",
    ),
]
Crop = Annotated[
    int,
    typer.Option(help="Denoiser: side of the square around motion that most updates see of a frame; 0: all of it."),
]
Decay = Annotated[bool, typer.Option("--decay/--no-decay", help="Let the step size fall to 0 until the last update.")]
RewardEndSize = Annotated[
    str, typer.Option(help="Of the reward/end model: paper, or small, which learns much faster on a CPU.")
]
Transitions = Annotated[int, typer.Option(help="Reward/end model: transitions of a segment.")]
EventShare = Annotated[
    float,
    typer.Option(
        help="Reward/end model: share of segments placed over a reward or an end. Finds rare events sooner; "
        "finish with 0, as it foretells them too often."
    ),
]
DreamedShare = Annotated[
    float,
    typer.Option(
        help="Reward/end model: share of segments whose frames are dreamed in the world of --init under the real "
        "actions, as it will judge them in play."
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="WORLD",
        help="Start from the denoiser and reward/end model of this world; the one that is not trained stays.",
        show_default=False,
    ),
]
CompileNetworks = Annotated[
    bool,
    typer.Option(
        "--compile/--no-compile", help="torch.compile: a minute or two at first, then up to 1.6 times as fast."
    ),
]
DIAMOND_OPTIONS = (
    "micro_batch",
    "autoregressive_steps",
    "context_error",
    "diffusion",
    "noise_mean",
    "ema",
    "motion_weight",
    "denoiser_size",
    "sampler_share",
    "first_share",
    "balance",
    "priority_share",
    "scan",
    "crop",
    "reward_end_size",
    "transitions",
    "event_share",
    "dreamed_share",
)
"""Of ``diamond-train world-model``, by their parameters' names: those that go with ``--kind diamond``."""
IRIS_OPTIONS = ("iris_size", "perceptual")
"""Likewise with ``--kind iris``."""
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
"""Names of the parameters of ``diamond-train algorithm1`` that need ``--model-free``."""
