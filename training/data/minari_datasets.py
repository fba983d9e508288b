"""Episodes from Minari datasets with image observations, and the other way round.

A dataset is a folder ``NAME-vN`` with ``data/metadata.json`` beside ``data/main_data.hdf5`` (or Arrow files): of every
episode T + 1 observations, T actions, rewards, terminations and truncations. What ``export_dataset`` writes also has
the episodes' attributes, so that it is read again as it was. Shapes: T steps, H height, W width.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary
from numpy.typing import NDArray
from rich.console import Console

from diamond_engine.damage import LARGEST_DATASET, check_stored, reading
from diamond_engine.episodes import Episode, EpisodeFolder
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import Game, game_named
from diamond_engine.games.gymnasium_games import described, is_picture, resized
from training.data.episodes import GameEpisodes

MISSING = "Minari datasets need minari: pip install 'diamond-engine[minari]'"
METADATA = "metadata.json"
MAIN_FILE = "main_data.hdf5"
ATTRIBUTES = "diamond_engine"
"""Of an episode's metadata: its attributes here, as JSON."""
ORIGIN = "minari"
"""Attribute of an episode that was imported: dataset and number."""
DATASET_NAME = re.compile(r"[-_A-Za-z0-9]+-v\d+")
ROOT = "MINARI_DATASETS_PATH"
"""Environment variable with Minari's own folder of datasets."""


@dataclass(frozen=True)
class MinariEpisode:
    """One episode of a dataset, as it is there."""

    number: int
    """Its index."""
    observations: NDArray[np.uint8]
    """``(T + 1, H, W)``, ``(T + 1, H, W, 1)`` or ``(T + 1, H, W, 3)``."""
    actions: NDArray[Any]
    """``(T,)``, or ``(T, …)`` of other spaces than ``Discrete``."""
    rewards: NDArray[np.float32]
    """``(T,)``."""
    terminated: NDArray[np.bool_]
    """``(T,)``."""
    truncated: NDArray[np.bool_]
    """``(T,)``."""
    attributes: Mapping[str, str | int | float] | None
    """Those that ``export_dataset`` wrote."""


class MinariDataset:
    """A dataset on disk, read episode by episode."""

    def __init__(self, name: str) -> None:
        """``name``: its folder, or its id in Minari's own.

        Raises ``UsageError`` where there is none or its observations are no pictures, ``DiamondError`` where it is
        damaged or minari is not installed.
        """
        try:
            import minari
        except ModuleNotFoundError as error:
            raise DiamondError(MISSING) from error
        self._folder = _found(name)
        with self._reading():
            stated = json.loads((self._folder / METADATA).read_text(encoding="utf-8"))
            if not {"observation_space", "action_space"} <= stated.keys():  # minari would make its environment
                raise DiamondError(f"{self._folder} does not say what its observations and actions are")
            self._dataset: Any = minari.MinariDataset(self._folder)
            self.id = str(self._dataset.id)
            """Name of the dataset."""
            self.environment = "" if self._dataset.env_spec is None else str(self._dataset.env_spec.id)
            """Id of the Gymnasium environment that it was recorded in; empty where it does not say."""
        if not is_picture(self._dataset.observation_space):
            shown = str(self._dataset.observation_space).partition("\n")[0]
            raise UsageError(
                f"{self._folder} has no image observations: uint8 (H, W), (H, W, 1) or (H, W, 3), not {shown}"
            )

    def __len__(self) -> int:
        return int(self._dataset.total_episodes)

    def episodes(self) -> Iterator[MinariEpisode]:
        """All episodes. Raises ``DiamondError`` where one is damaged."""
        for number in range(len(self)):
            with self._reading():
                episode = self._episode(number)
            yield episode

    def _episode(self, number: int) -> MinariEpisode:
        if (self._folder / MAIN_FILE).exists():
            with h5py.File(self._folder / MAIN_FILE, "r") as file:
                for values in _stored(file[f"episode_{number}"]):
                    if values.nbytes > LARGEST_DATASET:
                        raise ValueError("it is too large")
                    check_stored(values)
        (found,) = self._dataset.iterate_episodes([number])
        (metadata,) = self._dataset.storage.get_episode_metadata([number])
        attributes = json.loads(str(metadata[ATTRIBUTES])) if ATTRIBUTES in metadata else None
        episode = MinariEpisode(
            number,
            np.asarray(found.observations),
            np.asarray(found.actions),
            np.asarray(found.rewards, dtype=np.float32),
            np.asarray(found.terminations, dtype=np.bool_),
            np.asarray(found.truncations, dtype=np.bool_),
            attributes,
        )
        steps = len(episode.actions)
        lengths = [len(column) for column in (episode.rewards, episode.terminated, episode.truncated)]
        if steps == 0 or lengths != [steps] * 3 or len(episode.observations) != steps + 1:
            raise ValueError("columns of other lengths")
        if episode.observations.dtype != np.uint8 or not np.isfinite(episode.rewards).all():
            raise ValueError("impossible values")
        return episode

    def _reading(self) -> Any:
        return reading(self._folder, "is not a readable Minari dataset, or one of another version of minari")


def import_dataset(name: str, out: Path, game: str | None, size: int | None, console: Console) -> None:
    """Files the episodes of a dataset in ``out``; those that are there already are left out.

    ``game``: what was played, if the dataset does not say so. Frames become squares of ``size`` (None: those of
    ``out``, else 64), and actions indices of the game's, those of a ``Box`` the nearest; what ``export_dataset`` wrote
    stays as it is. Raises ``UsageError`` where game or actions are unknown or do not fit ``out``, and as
    ``MinariDataset`` does.
    """
    dataset = MinariDataset(name)
    folder, table, inexact = EpisodeFolder(out), None, 0
    known = folder.attribute(ORIGIN)
    for source in dataset.episodes():
        origin = f"{dataset.id}/{source.number}"
        if origin in known:
            continue
        if source.attributes is not None:
            episode = _as_exported(source, origin)
        else:
            table = table or _Table.of(dataset, game, out, size)
            actions, moved = table.indices(source.actions)
            inexact += moved
            episode = table.episode(source, actions, {"policy": dataset.id, ORIGIN: origin})
        folder.append(episode)
    if inexact:
        console.print(f"{inexact} actions became the nearest that the game has")
    console.print(f"{out} holds {len(folder)} episodes of {folder.num_steps} steps")


@dataclass(frozen=True)
class _Table:
    """A game and what its actions are to the dataset."""

    game: Game
    """In frames as large as they are filed."""
    values: NDArray[np.float64]
    """``(N, D)``: the entries of each action."""

    @classmethod
    def of(cls, dataset: MinariDataset, name: str | None, out: Path, size: int | None) -> _Table:
        stated = name or (f"gym:{dataset.environment}" if dataset.environment else "")
        if not stated:
            raise UsageError(f"{dataset.id} does not say which game it is of: give --game")
        game = game_named(stated.removeprefix("gym:") if stated.startswith("gym:ALE/") else stated)
        game = GameEpisodes(out, game if size is None else game.sized(size), may_be_empty=True).game
        if size not in (None, game.frame_height):
            raise UsageError(f"{out} holds frames of {game.frame_height}x{game.frame_width}: give another --out")
        values = range(len(game.actions)) if not game.own else described(game.name.removeprefix("gym:"))[1].values
        return cls(game, np.array([np.ravel(value) for value in values], dtype=np.float64))

    def indices(self, actions: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
        """Indices ``(T,)`` of the nearest actions of the game, and how many were not one of its own."""
        given = actions.reshape(len(actions), -1).astype(np.float64)
        if given.shape[1] != self.values.shape[1]:
            raise UsageError(f"actions of {given.shape[1]} entries are none of {self.game.name}: name its --game")
        distances = np.abs(given[:, None] - self.values[None]).sum(axis=-1)
        nearest = distances.argmin(axis=1)
        inexact = int((distances.min(axis=1) > 1e-6).sum())
        if inexact and actions.dtype.kind != "f":
            raise UsageError(f"actions from {actions.min()} to {actions.max()} are none of {self.game.name}")
        return nearest, inexact

    def episode(
        self, source: MinariEpisode, actions: NDArray[np.int64], attributes: Mapping[str, str | int | float]
    ) -> Episode:
        """The episode in frames of the game's size."""
        size = self.game.frame_height, self.game.frame_width
        frames = np.stack([resized(observation, *size) for observation in source.observations])
        return _episode(source, frames, actions, {"game": self.game.name, **attributes})


def _as_exported(source: MinariEpisode, origin: str) -> Episode:
    assert source.attributes is not None
    actions = source.actions if source.actions.ndim == 1 else source.actions.astype(np.uint8)
    return _episode(source, source.observations, actions, {**source.attributes, ORIGIN: origin})


def _episode(
    source: MinariEpisode, frames: NDArray[np.uint8], actions: NDArray[Any], attributes: Mapping[str, Any]
) -> Episode:
    return Episode(frames[:-1], actions, source.rewards, source.terminated, source.truncated, frames[-1], attributes)


def export_dataset(data: Path, out: Path, console: Console) -> None:
    """Writes a folder of episodes as the Minari dataset ``out``, frames uncompressed, so that they stay the same.

    Raises ``UsageError`` for a folder without episodes, episodes of different games or sizes, a name that Minari does
    not take, and a dataset that exists; ``DiamondError`` where an episode is damaged or minari is not installed.
    """
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
        from minari.dataset.minari_storage import MinariStorage
    except ModuleNotFoundError as error:
        raise DiamondError(MISSING) from error
    folder = EpisodeFolder(data)
    if not data.is_dir() or len(folder) == 0:
        raise UsageError(f"no episodes in {data}")
    if not DATASET_NAME.fullmatch(out.name):
        raise UsageError(f"--out {out}: Minari names datasets such as mine-v0")
    if out.exists():
        raise UsageError(f"{out} is there already: name another")
    first = folder[0]
    space = _action_space(first)
    pictures = Box(0, 255, first.final_frame.shape, np.uint8)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as partial:
        written = MinariStorage.new(Path(partial) / "data", pictures, space, data_format="hdf5", jpeg_encoding=False)
        written.update_metadata({"dataset_id": out.name, "minari_version": minari.__version__})
        for number in range(len(folder)):
            episode = folder[number]
            if episode.final_frame.shape != pictures.shape or _action_space(episode) != space:
                raise UsageError(f"{folder.paths[number]} is of another game or size than the first: export one")
            written.update_episodes([_buffer(EpisodeBuffer, episode)])
            written.update_episode_metadata([{ATTRIBUTES: json.dumps(dict(episode.attributes))}], [number])
        shutil.move(Path(partial) / "data", out / "data")
    console.print(f"{out}: {len(folder)} episodes of {folder.num_steps} steps")


def _buffer(buffer: Any, episode: Episode) -> Any:
    return buffer(
        observations=episode.all_frames,
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=episode.terminated,
        truncations=episode.truncated,
    )


def _action_space(episode: Episode) -> Discrete | MultiBinary:
    if episode.actions.ndim == 2:
        return MultiBinary(episode.actions.shape[1])
    return Discrete(len(game_named(str(episode.attributes.get("game"))).actions))


def _found(name: str) -> Path:
    """The folder with the metadata of a dataset."""
    root = Path(os.environ.get(ROOT) or Path.home() / ".minari" / "datasets")
    for folder in (Path(name), Path(name) / "data", root / name / "data"):
        if (folder / METADATA).is_file():
            return folder
    raise UsageError(f"no Minari dataset {name!r}: give its folder, or its id in {root}")


def _stored(group: Any) -> list[Any]:
    """All data sets in a group of an HDF5 file."""
    found: list[Any] = []
    group.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found
