"""The published CS:GO world: its architecture, its start contexts, and its checkpoint, converted once.

The checkpoint is 1.5 GB of float32. The first time it is read, its tensors are written one by one, in the requested
precision, to a world folder in the cache. From then on only that folder is read, memory-mapped.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from diamond_engine.actions.csgo import NUM_ACTIONS
from diamond_engine.cache import CACHE, cache_folder
from diamond_engine.checkpoints import read_published
from diamond_engine.contexts import StartContexts, read_spawn_folders
from diamond_engine.diffusion import DenoiserConfig
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.files import remove_abandoned
from diamond_engine.locating import is_published, located
from diamond_engine.networks import InnerModelConfig
from diamond_engine.world_model import World, misfit
from diamond_engine.worlds import TWO_STAGE_PRESETS, DiffusionWorldConfig, read_world, world_folder, write_world
from weights import Notice
from weights.manifest import LICENCE, MANIFEST

CSGO = "csgo"
"""Name of the world."""
LAYOUTS = ("csgo/model/csgo.pt", "model/csgo.pt", "csgo.pt")
"""Places of the checkpoint in a downloaded folder."""


def csgo_world_config() -> DiffusionWorldConfig:
    """The published architecture: dynamics at 56x30 (330M parameters), upsampler to 280x150 (51M)."""
    dynamics = InnerModelConfig(
        num_actions=NUM_ACTIONS,
        cond_channels=2048,
        channels=(128, 256, 512, 1024),
        attn_depths=(False, False, True, True),
        multi_hot_actions=True,
        noise_cond=True,
    )
    upsampler = InnerModelConfig(
        num_actions=None,
        num_steps_conditioning=1,
        cond_channels=2048,
        channels=(64, 64, 128, 256),
        attn_depths=(False, False, False, True),
        low_res_cond=True,
        noise_cond=True,
    )
    return DiffusionWorldConfig(
        name=CSGO,
        game=None,
        denoiser=DenoiserConfig(inner_model=dynamics, sigma_offset_noise=0.1, noise_previous_obs=True),
        upsampler=DenoiserConfig(inner_model=upsampler, sigma_offset_noise=0.1, upsampling_factor=5),
        frame_rate=16.0,
        frame_height=150,
        frame_width=280,
        presets=dict(TWO_STAGE_PRESETS),
        default_preset="fast",
    )


def load_csgo(weights: str | Path | None, dtype: torch.dtype, notice: Notice) -> World:
    """Loads the published world: downloaded once, or from local files (those of the hub, or a world folder).

    ``weights`` and ``notice`` are those of ``load_world``. Raises ``UsageError`` for weights that are missing or of
    another kind of world, ``DiamondError`` for weights that are damaged or do not fit.
    """
    if weights is None or weights == "hub":
        published = MANIFEST[CSGO].checkpoint
        return _converted(published.sha256 or CSGO, dtype, lambda: _open(located(CSGO, notice=notice)), notice)
    path = Path(weights)
    if any((folder / "world.yaml").is_file() for folder in (path, path / "world")):
        return _first_person(read_world(world_folder(path), dtype=dtype), path)
    checkpoint = _checkpoint(path)

    def open_checked() -> World:
        if not is_published(CSGO, checkpoint):
            notice(f"{checkpoint} is not the published checkpoint (another size): it is used as it is")
        return _open(checkpoint)

    spawns = _spawn_folder(checkpoint)
    if spawns is None:
        notice(f"no start contexts: put the folder csgo/spawn of the hub beside {checkpoint} to play from them")
    return _converted(_fingerprint(checkpoint, spawns), dtype, open_checked, notice)


def read_csgo_spawns(folder: Path, config: DiffusionWorldConfig) -> StartContexts:
    """Reads the published start contexts, ``folder/0`` … ``folder/6``, with as many full-resolution frames as needed.

    Raises ``DiamondError`` if a file is missing, damaged, or of a shape that the world cannot start from.
    """
    spawns = read_spawn_folders(folder)
    if spawns.full_res is not None and config.upsampler is not None:
        kept = config.upsampler.inner_model.num_steps_conditioning
        spawns = replace(spawns, full_res=spawns.full_res[:, -kept:])
    problem = misfit(spawns, config)
    if problem is not None:
        raise DiamondError(f"the start contexts in {folder} do not fit: {problem}")
    return spawns


def _converted(key: str, dtype: torch.dtype, opened: Callable[[], World], notice: Notice) -> World:
    """The converted world of ``key`` from the cache. If there is none, converts the world that ``opened`` returns."""
    folder = cache_folder() / CSGO / f"{key[:16]}-{str(dtype).removeprefix('torch.')}"
    if (folder / "world.yaml").is_file():
        try:
            return read_world(folder, dtype=dtype)
        except DiamondError:
            notice(f"{folder} is damaged or of another version: it is made again")
            shutil.rmtree(folder, ignore_errors=True)
    _convert(opened(), folder, dtype, notice)
    return read_world(folder, dtype=dtype)


def _convert(world: World, folder: Path, dtype: torch.dtype, notice: Notice) -> None:
    notice(f"converting the weights, once, to {folder}")
    remove_abandoned(folder)  # these take up to 1.3 GB
    try:
        write_world(folder, world, dtype)
    except OSError as error:
        raise DiamondError(
            f"cannot write {folder} ({error.strerror}): free 2 GB or name another folder in {CACHE}"
        ) from error


def _open(checkpoint: Path) -> World:
    """The world of a checkpoint, memory-mapped, with the start contexts beside it."""
    config = replace(
        csgo_world_config(), provenance={"source": "published by the authors of the paper", "licence": LICENCE}
    )
    spawns = _spawn_folder(checkpoint)
    starts = None if spawns is None else read_csgo_spawns(spawns, config)
    return config.build(read_published(checkpoint), str(checkpoint), starts)


def _checkpoint(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise UsageError(f"no such weights: {path}")
    for layout in LAYOUTS:
        if (path / layout).is_file():
            return path / layout
    raise UsageError(f"{path} holds no weights of {CSGO}: it has neither {LAYOUTS[0]} nor world.yaml")


def _spawn_folder(checkpoint: Path) -> Path | None:
    """The folder of the published start contexts: in the hub's place, or next to the checkpoint."""
    folder = checkpoint.absolute().parent
    return next((path for path in (folder.parent / "spawn", folder / "spawn") if path.is_dir()), None)


def _fingerprint(checkpoint: Path, spawns: Path | None) -> str:
    """A key that changes when one of the files changes. It is computed without reading them."""
    files = [checkpoint, *([] if spawns is None else sorted(spawns.rglob("*.npy")))]
    facts = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _first_person(world: World, path: Path) -> World:
    if not world.game.vectors:
        raise UsageError(f"{path} is a world of {world.config.game}, not a first-person one: use other weights")
    return world
