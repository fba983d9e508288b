"""``diamond-play doctor``: what this machine will run on, how fast to expect, and what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pygame
import torch
from huggingface_hub import constants

from diamond_engine import WorldModelEnv
from diamond_engine.diffusion import Denoiser
from diamond_engine.emulators.atari import has_rom
from diamond_engine.games import ATARI_GAMES, atari_game
from diamond_engine.runtime import Runtime, ThreadChoice
from diamond_engine.worlds import DiffusionWorld, paper_config
from play.machine import OtherPrograms, own_cores
from play.window import DISPLAY_VARIABLES, has_display
from weights import catalogue

LEAST_SECONDS, LEAST_FRAMES = 3.0, 15
"""Least duration of a measurement."""
BUSY = 0.2
"""Share of the cores that other programs may take before a measurement is called unreliable."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    subject: str
    """The subject."""
    state: str
    """The finding."""
    problem: str | None = None
    """The problem and what to do, if there is one."""


def examine() -> Iterator[Finding]:
    """Examines the machine and yields the findings."""
    runtime = Runtime.choose()
    yield Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("torch", torch.__version__, _idle_card(runtime))
    yield Finding("runs on", runtime.describe())
    yield speed(runtime)
    yield _display()
    yield Finding("gamepads", _gamepads())
    yield _roms()
    yield _worlds()
    yield Finding("hub", f"{_reach()}, cache in {constants.HF_HUB_CACHE}")


def _idle_card(runtime: Runtime) -> str | None:
    card = Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None
    if runtime.device.type != "cpu" or not card:
        return None
    return "there is an NVIDIA card that this torch cannot use: install a GPU build, see https://pytorch.org"


def speed(runtime: Runtime) -> Finding:
    """Frames a second of dreams on this machine now, and whether other programs slow it down."""
    others, cores = OtherPrograms(), len(own_cores())
    frames, threads = _frames_per_second(runtime)
    taken = others.cores()
    shown = f"{frames:.0f}" if frames >= 10 else f"{frames:.1f}"
    on = f" on {threads} thread{'s' * (threads > 1)}" if runtime.device.type == "cpu" else ""
    state = f"about {shown} frames/s{on} (estimated: the paper's denoiser, 3 steps a frame)"
    if runtime.device.type == "cpu" and taken is not None and taken > BUSY * cores:
        busy = f"other programs take {taken:.1f} of {cores} cores (load {os.getloadavg()[0]:.1f})"
        return Finding("speed", f"{state}, beside other programs", f"{busy}: without them worlds play faster")
    return Finding("speed", state)


def _frames_per_second(runtime: Runtime) -> tuple[float, int]:
    """Times frames of an untrained denoiser as play draws them, and counts the threads: speed does not depend on the
    weights."""
    config = paper_config(atari_game("Breakout"))
    env = WorldModelEnv(DiffusionWorld(config=config, denoiser=Denoiser(config.denoiser)), 1, runtime)
    length, height, width = config.context_length, config.frame_height, config.frame_width
    frames = torch.zeros((1, length, height, width, 3), dtype=torch.uint8).numpy()
    env.reset(options={"frames": frames, "actions": torch.zeros((1, length - 1), dtype=torch.int64).numpy()})
    action = torch.zeros(1, dtype=torch.int64)
    env.step(action)[0].cpu()
    seconds: list[float] = []
    with ThreadChoice() as threads:
        while sum(seconds) < LEAST_SECONDS or len(seconds) < LEAST_FRAMES:
            began = time.perf_counter()
            with threads.step() if runtime.same_on_any_threads else nullcontext():
                env.step(action)[0].cpu()  # waits for the device
            seconds.append(time.perf_counter() - began)
    return 1 / median(seconds[len(seconds) // 2 :]), threads.count


def _display() -> Finding:
    if not has_display():
        return Finding("display", "none", "no display: play writes a video in place of opening a window")
    named = [f"{name}={os.environ[name]}" for name in DISPLAY_VARIABLES if os.environ.get(name)]
    return Finding("display", ", ".join(named) or "yes")


def _gamepads() -> str:
    pygame.joystick.init()
    names = [pygame.joystick.Joystick(i).get_name() for i in range(pygame.joystick.get_count())]
    pygame.joystick.quit()
    return ", ".join(names) or "none"


def _roms() -> Finding:
    missing = [game.name for game in ATARI_GAMES.values() if not has_rom(game)]
    state = f"{len(ATARI_GAMES) - len(missing)} of {len(ATARI_GAMES)} games"
    if not missing:
        return Finding("ROMs", state)
    return Finding("ROMs", state, f"no ROM of {', '.join(missing)}: pip install --upgrade ale-py")


def _worlds() -> Finding:
    offline = [entry.name for entry in catalogue() if entry.path is not None]
    state = f"{', '.join(offline) or 'none'} on this machine, the others from the hub"
    return Finding("worlds", state)


def _reach() -> str:
    return "offline (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else "online"
