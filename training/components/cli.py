"""``diamond-train assemble``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diamond_engine.errors import UsageError
from diamond_engine.runtime import DTYPES
from diamond_engine.worlds import write_world
from training.components.assemble import assembled, with_default_preset, with_reward_end
from training.runs.progress import make_console
from training.runs.trained import find_agent, find_world


def assemble(
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

    Its world.yaml lists the origin of each.
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
    whole = assembled(base, None if agent is None else find_agent(agent, base.game), notes)
    write_world(out, whole, DTYPES[dtype])
    parts = [*whole.networks, *([] if whole.contexts is None else ["contexts"])]
    make_console().print(f"{out} holds {whole.config.name} ({', '.join(parts)}) in {dtype}")
