"""Memory while a game is played: it must not grow with the length of a session.

Steps ``diamond-play``'s own session without a clock: agent, dream, reward/end model, episode after episode. Resident
memory is noted on the way; after a quarter of the frames it must not grow. Exits with 1 if it does.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import psutil
import torch
import typer

from benchmarks import options
from benchmarks.output import show_json, show_table, surroundings
from diamond_engine import load_world
from diamond_engine.diffusion import Denoiser
from diamond_engine.errors import DiamondError
from diamond_engine.networks import ActorCritic, RewardEndModel
from diamond_engine.worlds import DiffusionWorld, of_diffusion, write_world
from play.latch import Input
from play.options import Options
from play.session import Session
from play.stage import load_session
from training.runs.command import run

app = typer.Typer(add_completion=False)
MARKS = 20
WARM_UP = 0.25
"""Share of the run at the start in which memory may still grow: torch's and the allocator's pools fill."""
MOST_GROWTH_MB = 8.0
"""Growth that an allocator may cause; a leak of one small frame a step would be 240 MB in 20,000 steps."""
MEGABYTE = 2**20


@dataclass(frozen=True)
class Mark:
    """Memory at one moment."""

    frames: int
    seconds: float
    resident_mb: float
    device_mb: float


@app.command()
def memory(
    world: Annotated[str, typer.Option(help="An Atari world by name.")] = "atari/Breakout",
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Its start contexts, but untrained networks that are fast.")
    ] = False,
    frames: Annotated[int, typer.Option(min=4 * MARKS, help="Frames to dream.")] = 20_000,
    most_seconds: Annotated[float, typer.Option(help="Stop after so many seconds all the same.")] = 600.0,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
) -> None:
    """Plays and watches the memory."""
    with _tiny_weights(world) if tiny else nullcontext() as weights:
        asked = Options(world=world, weights=weights, preset="fast" if tiny else None, device=device, dtype=dtype)
        session = load_session(asked, lambda line: None)
        marks = list(_played(session, frames, most_seconds))
        session.close()
    growth = _growth(marks)
    show_table(
        f"Memory of {world}{' (tiny)' if tiny else ''} on {session.runtime.describe()}",
        ("frames", "seconds", "resident MB", "device MB"),
        [(f"{m.frames:,}", f"{m.seconds:.0f}", f"{m.resident_mb:.1f}", f"{m.device_mb:.1f}") for m in marks],
    )
    last = marks[-1]
    show_json(
        {
            "benchmark": "memory",
            "world": world,
            "tiny": tiny,
            "frames": last.frames,
            "resident_mb": round(last.resident_mb, 1),
            "device_mb": round(last.device_mb, 1),
            "growth_mb": round(growth, 2),
            **surroundings(session.runtime, {}),
        }
    )
    if growth > MOST_GROWTH_MB:
        raise DiamondError(f"memory grew by {growth:.1f} MB in the last {1 - WARM_UP:.0%} of {last.frames} frames")


def _played(session: Session, frames: int, most_seconds: float) -> Iterator[Mark]:
    """Plays and takes ``MARKS`` evenly spaced notes of the memory, or as many as time allows."""
    process, began = psutil.Process(), time.perf_counter()
    on_gpu = session.runtime.device.type == "cuda"
    for mark in range(1, MARKS + 1):
        while session.frames < frames * mark // MARKS:
            session.advance(Input())
        gc.collect()
        seconds = time.perf_counter() - began
        device_mb = torch.cuda.memory_allocated() / MEGABYTE if on_gpu else 0.0
        yield Mark(session.frames, seconds, process.memory_info().rss / MEGABYTE, device_mb)
        if seconds > most_seconds:
            return


def _growth(marks: list[Mark]) -> float:
    """Growth in megabytes from the warm-up to the end, resident or on the device."""
    first, last = marks[int(WARM_UP * len(marks))], marks[-1]
    return max(last.resident_mb - first.resident_mb, last.device_mb - first.device_mb)


@contextmanager
def _tiny_weights(name: str) -> Iterator[str]:
    """The folder of an untrained world of the game that the CPU's kernels can run."""
    world = of_diffusion(load_world(name), "a benchmark")
    config = world.config
    if config.reward_end is None or config.actor_critic is None:
        raise DiamondError(f"{name} has no reward/end model or no agent: name an Atari world")
    size = {"depths": (1, 1), "channels": (32, 32), "attn_depths": (False, False), "cond_channels": 32}
    config = replace(
        config,
        denoiser=replace(config.denoiser, inner_model=replace(config.denoiser.inner_model, **size)),
        reward_end=replace(config.reward_end, **size, lstm_dim=32, pooled=False),
        actor_critic=replace(config.actor_critic, lstm_dim=32, channels=(32,) * 4),
    )
    assert config.reward_end is not None
    assert config.actor_critic is not None
    torch.manual_seed(0)
    made = DiffusionWorld(
        config=config,
        denoiser=Denoiser(config.denoiser),
        reward_end=RewardEndModel(config.reward_end),
        actor_critic=ActorCritic(config.actor_critic),
        contexts=world.contexts,
    )
    with TemporaryDirectory() as folder:
        write_world(Path(folder), made)
        yield folder


if __name__ == "__main__":
    run(app)
