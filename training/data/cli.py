"""``diamond-train collect``."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from diamond_engine.actions import atari_game
from diamond_engine.errors import UsageError
from training.data.collect import RANDOM, Mixture, collect_mixture
from training.data.scripted import TRACKER
from training.runs.options import Device, Dtype, Game, NumEnvs, Out, Seed, TimeBudget, check_positive, open_session
from training.runs.trained import find_agent


def collect(
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

    Steps in the folder with the same policy, ε, hold and seed count, so that the same command continues where it
    stopped; another policy, ε, hold or seed adds its steps to the same folder. Games under way at the end are filed as
    truncated episodes.
    """
    atari = atari_game(game)
    epsilons = tuple(epsilon or (0.0,))
    check_positive(steps=steps, num_envs=num_envs)
    if not all(0 <= value <= 1 for value in epsilons):
        raise UsageError(f"--epsilon must lie between 0 and 1: {', '.join(map(str, epsilons))}")
    if not 1 <= hold < math.inf:
        raise UsageError(f"--hold must be a number of at least 1, not {hold:g}")
    session = open_session(out, seed, time_budget, device, dtype)
    player = policy if policy in (RANDOM, TRACKER) else find_agent(policy, atari)
    collect_mixture(Mixture(atari, player, epsilons, steps, num_envs, hold), session)
