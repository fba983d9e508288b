"""Exported sites and what must be seen in them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diamond_engine.diffusion import Denoiser, sample
from diamond_engine.errors import DiamondError
from diamond_engine.frames import from_numpy, to_numpy
from diamond_engine.world_model import World
from play.view import Frame
from play.web.export import Site, export
from play.web.isolated import make_server
from play.web.runtime import runtime_files
from tests.conftest import tiny_world

CPU = torch.device("cpu")
PADDLE = """(() => {
  const { data } = document.getElementById("picture").getContext("2d").getImageData(4, 56, 56, 4);
  let sum = 0, count = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] > 110 && data[i + 1] < 100 && data[i + 2] < 100) { sum += (i / 4) % 56; count++; }
  }
  return count > 3 ? sum / count : null;
})()"""
"""Where Breakout's paddle is on a page, 0 to 56 from the left; null where none is to be seen."""


def runtime() -> dict[str, Path]:
    """The files of onnxruntime-web; skips the test where they can be had from nowhere, and fails it in CI."""
    try:
        return runtime_files(None, lambda line: None)
    except DiamondError as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(f"no onnxruntime-web: {reason}")


def export_site(world: World, folder: Path, preset: str) -> Path:
    """A site of a world."""
    export(world, Site(world.config.preset(preset), preset, 50, runtime()), folder, lambda line: None)
    return folder


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """The address of a site; whatever happens, its server ends."""
    with make_server(folder, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def small_world() -> World:
    """A tiny world of the small architecture: patches of 2×2 pixels, frames told about the newest one.

    Its weights are small, so that a difference of one level does not grow from frame to frame, and of 16 bits.
    """
    world = tiny_world()
    inner = replace(world.config.denoiser.inner_model, patch_size=2)
    config = replace(world.config, denoiser=replace(world.config.denoiser, inner_model=inner, about_newest=True))
    torch.manual_seed(0)
    denoiser = Denoiser(config.denoiser).eval()
    for network in (denoiser, world.reward_end, world.actor_critic):
        assert network is not None
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.01)
            parameter.data = parameter.data.half().float()
    return replace(world, config=config, denoiser=denoiser)


@torch.no_grad()
def dreamed_by_torch(world: World, preset: str, actions: list[int], noise: torch.Tensor) -> list[Frame]:
    """The frames of a dream from the first start context, in float32; one row of noise ``(T, C·H·W)`` a frame."""
    assert world.contexts is not None
    frames = [*from_numpy(world.contexts.frames[0], CPU)]
    taken = [*world.contexts.actions[0].tolist()]
    length = world.context_length
    for action, draw in zip(actions, noise, strict=True):
        taken.append(action)
        denoise = world.denoiser.given_actions(torch.tensor([taken[-length:]]))
        shape = (1, *frames[-1].shape)
        context = torch.cat(frames[-length:])[None]
        sampler = world.config.preset(preset).dynamics
        frames.append(sample(denoise, lambda _, d=draw, s=shape: d.reshape(s), shape, context, sampler)[0])
    return [to_numpy(frame) for frame in frames[length:]]
