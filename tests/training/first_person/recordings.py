"""Recordings and videos to learn from, small and made on the spot, and the commands that take them."""

from pathlib import Path

import av
import h5py
import numpy as np

from diamond_engine.actions import csgo
from diamond_engine.actions.csgo import CsgoAction
from tests.training.trainers import run

FRAMES = 14
NETWORKS = [
    f"networks.{stage}.inner_model.{name}={value}"
    for stage, channels in (("dynamics", "[8,8,8,8]"), ("upsampler", "[4,4,4,4]"))
    for name, value in (
        ("channels", channels),  # four levels: the attention in the middle sees a frame an eighth as wide and high
        ("depths", "[1,1,1,1]"),
        ("attn_depths", "[false,false,false,false]"),
        ("cond_channels", 16),
    )
]
TINY = [
    *NETWORKS,
    "dynamics.updates=3",
    "dynamics.batch_size=2",
    "dynamics.accumulation=2",
    "upsampler.updates=2",
    "upsampler.accumulation=2",
    "contexts=2",
]


def arguments_of_training(data: Path, out: Path, *more: str) -> list[str | Path]:
    """Of ``diamond-train`` for tiny stages."""
    settings = [part for setting in TINY for part in ("--set", setting)]
    where: list[str | Path] = ["csgo", "--data", data, "--out", out]
    return [*where, "--preset", "quick", "--device", "cpu", "--dtype", "float32", *settings, *more]


def good(*arguments: str | int | Path) -> str:
    """All that ``diamond-train`` says."""
    code, said = run(*arguments)
    assert code == 0, said
    return said


def write_recording(path: Path, seed: int, frames: int = FRAMES) -> None:
    """A file in the layout of the CS:GO data set."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for i in range(frames):
            action = csgo.encode(CsgoAction(keys=(csgo.KEYS[i % 4],), mouse_x=float(rng.integers(-99, 99))))
            file[f"frame_{i}_x"] = rng.integers(256, size=(150, 280, 3), dtype=np.uint8)
            file[f"frame_{i}_y"] = action.astype(np.float64)
            file[f"frame_{i}_xaux"] = np.zeros(54)
            file[f"frame_{i}_helperarr"] = np.array([i == 3, i == 5], dtype=np.float64)


def write_video(path: Path, frames: int = 40, rate: int = 32) -> None:
    """A video whose frames grow brighter."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for i in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 6 * i, dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
