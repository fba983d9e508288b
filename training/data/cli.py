"""``diamond-train collect``, ``excerpt``, ``import-minari`` and ``export-minari``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from diamond_engine.errors import UsageError
from diamond_engine.games import Game, emulated_game
from training.data.callables import CalledPolicy
from training.data.collect import RANDOM, Mixture, collect_mixture
from training.data.episodes import GameEpisodes
from training.data.excerpts import Excerpts, write_excerpts
from training.data.minari_datasets import export_dataset, import_dataset
from training.data.scripted import TRACKER
from training.runs.options import Device, Dtype, GameName, NumEnvs, Out, Seed, TimeBudget, check_positive, open_session
from training.runs.progress import make_console, progress
from training.runs.trained import TrainedAgent, find_agent


def collect(
    game: GameName,
    out: Out,
    steps: Annotated[int, typer.Option(help="Steps of this policy, ε, hold and seed the folder shall have in all.")],
    policy: Annotated[
        str,
        typer.Option(
            help="Who plays: random, tracker (a scripted player: Breakout, Pong), a world, the run of an agent (or one "
            "of its snapshots), or a function of one's own as module:function, which is shown a frame and says the "
            "index or the name of an action."
        ),
    ] = RANDOM,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(help="Probability of a random action [default: 0]; several share the steps.", show_default=False),
    ] = None,
    hold: Annotated[
        float, typer.Option(help="Steps for which a random action is held on average, as a person holds a key.")
    ] = 1.0,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the frames to file [default: what is there, else 64].", show_default=False),
    ] = None,
    num_envs: NumEnvs = 16,
    seed: Seed = 0,
    time_budget: TimeBudget = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Play the real game and file episodes; a lost life ends one.

    Steps in the folder with the same policy, ε, hold and seed count, so that the same command continues where it
    stopped; another policy, ε, hold or seed adds its steps to the same folder. Games under way at the end are filed as
    truncated episodes.
    """
    played = emulated_game(game)
    epsilons = tuple(epsilon or (0.0,))
    check_positive(steps=steps, num_envs=num_envs)
    if not all(0 <= value <= 1 for value in epsilons):
        raise UsageError(f"--epsilon must lie between 0 and 1: {', '.join(map(str, epsilons))}")
    if not 1 <= hold < math.inf:
        raise UsageError(f"--hold must be a number of at least 1, not {hold:g}")
    session = open_session(out, seed, time_budget, device, dtype)
    played = GameEpisodes(out, played if size is None else played.sized(size), may_be_empty=True).game
    if size not in (None, played.frame_height):
        raise UsageError(f"{out} holds frames of {played.frame_height}x{played.frame_width}: give another --out")
    collect_mixture(Mixture(played, _player(policy, played), epsilons, steps, num_envs, hold), session)


def excerpt(
    game: GameName,
    data: Annotated[Path, typer.Option(help="Folder of episodes to cut from; it stays as it is.")],
    out: Out,
    event: Annotated[
        list[str], typer.Option(help="Kind of event, such as 'paddle return'; several may be given. Breakout, Pong.")
    ],
    before: Annotated[
        int, typer.Option(min=0, help="Frames before the event: with 5 a world predicts the last of them, too.")
    ] = 5,
    after: Annotated[int, typer.Option(min=1, help="Frames after it.")] = 3,
) -> None:
    """Cut short episodes around events out of longer ones, so that a world learns what is rare more often.

    A scripted reader finds the events in the frames. Excerpts are added to the episodes in OUT; those that are there
    are not added again.
    """
    source = GameEpisodes(data, emulated_game(game))
    wanted = Excerpts(source.game, event, before, after)
    if out.resolve() == data.resolve():
        raise UsageError("give another --out than --data: an excerpt would be cut again")
    console = make_console()
    kept = GameEpisodes(out, source.game, may_be_empty=True)
    with progress(console, f"{' and '.join(event)}, episodes read", len(source.episodes)) as show:
        added = write_excerpts(wanted, source, kept, show)
    console.print(f"{added} excerpts added: {out} holds {len(kept.episodes)} episodes")


def _player(policy: str, game: Game) -> TrainedAgent | CalledPolicy | str:
    if policy in (RANDOM, TRACKER):
        return policy
    return CalledPolicy(policy, game) if ":" in policy and not Path(policy).exists() else find_agent(policy, game)


def import_minari(
    dataset: Annotated[str, typer.Argument(help="Folder of a Minari dataset, or its id in Minari's own folder.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of episodes to write to.")],
    game: Annotated[
        str | None,
        typer.Option(
            help="What was played, such as gym:CartPole-v1 [default: what the dataset says].", show_default=False
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the frames to file [default: what is there, else 64].", show_default=False),
    ] = None,
) -> None:
    """Turn a Minari dataset with image observations into episodes to train on. Needs diamond-engine[minari].

    Continuous actions become the nearest of the game's. Run it again after it was stopped; what arrived is kept.
    """
    import_dataset(dataset, out, game, size, make_console())


def export_minari(
    data: Annotated[Path, typer.Argument(help="Folder of episodes.")],
    out: Annotated[Path, typer.Option(help="The dataset to make, such as mine-v0; frames are not compressed.")],
) -> None:
    """Write episodes as a Minari dataset, which import-minari reads again as they were. Needs diamond-engine[minari].

    In the folder ~/.minari/datasets, minari.load_dataset finds it by its name.
    """
    export_dataset(data, out, make_console())
