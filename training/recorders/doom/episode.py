"""Episodes of Doom on disk, in the layout of the CS:GO data set.

A file ``hdf5_doom_<n>.hdf5`` holds, as separate uncompressed data sets, for every frame i:

- ``frame_<i>_x`` uint8 ``(150, 280, 3)``, BGR
- ``frame_<i>_y`` float64 ``(51,)``, the action taken at the frame
- ``frame_<i>_xaux`` float64 ``(54,)``: the action before (zeros at first), health, ammunition, team (always 0)
- ``frame_<i>_helperarr`` float64 ``(2,)``: whether the action brought a kill or a pickup, and whether one's own death

After a death the next frame is the first of another life somewhere else; in a scenario nobody dies. Attributes of the
file tell of its origin: ``game``, ``seed``, ``number``, ``frames``, ``kills``, ``pickups``, ``deaths``, the fields of
``Style``, and for coverage
``places_seen`` and ``places``, ``(N, 2)`` columns and rows of the squares that were visited and of those that can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from diamond_engine.actions import csgo
from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path
from training.recorders.doom.explorer import Explorer
from training.recorders.doom.game import Doom, View
from training.recorders.doom.gatherer import Gatherer
from training.recorders.doom.level import Place, place_of
from training.recorders.doom.style import Style

TEAM = 0.0
WHOLE_GAME = Style()


@dataclass(frozen=True)
class Facts:
    """Facts in an episode's file."""

    seed: int
    """Seed of the recording."""
    frames: int
    """Its length."""
    kills: int
    """Monsters killed."""
    pickups: int
    """Medkits picked up, in scenarios."""
    deaths: int
    """Own deaths."""
    places_seen: frozenset[Place]
    """Squares of the level that were visited."""
    places: frozenset[Place]
    """Squares of the level that can be reached."""
    style: Style
    """Style of play."""


@dataclass(frozen=True)
class Moment:
    """One frame and what was done at it."""

    view: View
    """The view."""
    action: NDArray[np.uint8]
    """``(51,)``: the action."""
    kill: bool
    """Whether it killed a monster."""
    pickup: bool
    """Whether it picked up something that the scenario counts."""
    death: bool
    """Whether the player died."""


def episode_path(folder: Path, number: int) -> Path:
    """File of an episode, from number 1."""
    return folder / f"hdf5_doom_{number}.hdf5"


def record_episode(
    path: Path, seed: int, number: int, frames: int, on_frame: Callable[[], None], style: Style = WHOLE_GAME
) -> None:
    """Plays and writes one episode, the same for the same seed, number, length and style; atomic.

    ``on_frame`` is called after every frame; if it raises, the recording ends without a file.
    """
    rng = np.random.default_rng([seed, number])
    kills = pickups = deaths = 0
    seen: set[Place] = set()
    with (
        Doom(_game_seed(rng), style.monsters, style.scenario) as game,
        atomic_path(path) as temporary,
        _open(temporary, "w") as file,
    ):
        if style.reach:
            game.level.keep_within(game.start, style.reach)
        cells = list(game.level.routes(game.start))
        starts = [game.level.centre(cell) for cell in cells]
        places = {place_of(*start) for start in starts}
        previous = np.zeros(csgo.NUM_ACTIONS)
        for i, moment in zip(range(frames), _play(game, starts, rng, style), strict=False):
            view = moment.view
            file[f"frame_{i}_x"] = view.frame
            file[f"frame_{i}_y"] = moment.action.astype(np.float64)
            file[f"frame_{i}_xaux"] = np.concatenate([previous, [view.health, view.ammo, TEAM]])
            file[f"frame_{i}_helperarr"] = np.array([moment.kill or moment.pickup, moment.death], dtype=np.float64)
            previous = moment.action
            kills, pickups, deaths = kills + moment.kill, pickups + moment.pickup, deaths + moment.death
            seen.add(place_of(view.x, view.y))
            on_frame()
        file.attrs.update(game=game.name, seed=seed, number=number, frames=frames)
        file.attrs.update(kills=kills, pickups=pickups, deaths=deaths, **asdict(style))
        file.attrs.update(places_seen=_array(seen & places), places=_array(places))


def read_facts(path: Path) -> Facts:
    """Reads the facts of an episode. Raises ``DiamondError`` if the file is damaged or of another kind."""
    try:
        with _open(path, "r") as file:
            seed, frames, kills, deaths = (int(file.attrs[name]) for name in ("seed", "frames", "kills", "deaths"))
            seen, places = (frozenset(map(tuple, file.attrs[name].tolist())) for name in ("places_seen", "places"))
            told = {"pickups": 0, **asdict(WHOLE_GAME), **file.attrs}  # older files have no style
            style = Style(int(told["reach"]), bool(told["monsters"]), float(told["wander"]), str(told["scenario"]))
            pickups = int(told["pickups"])
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise DiamondError(f"{path} is not a recording of Doom (truncated or damaged?): delete it") from error
    return Facts(seed, frames, kills, pickups, deaths, seen, places, style)


def _play(game: Doom, starts: list[tuple[float, float]], rng: np.random.Generator, style: Style) -> Iterator[Moment]:
    """Plays life after life, each from another place."""
    player = Gatherer(rng, style.wander) if style.scenario else Explorer(game.level, rng, style.wander)
    while True:
        view = game.spawn(*starts[rng.integers(len(starts))], _game_seed(rng))
        player.begin_life()
        while not view.dead:
            action = csgo.encode(player.act(view))
            after = game.step(csgo.decode(action))
            kill, pickup = after.kills > view.kills, after.pickups > view.pickups
            yield Moment(view, action, kill, pickup, death=after.dead)
            view = after


def _game_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _array(places: Iterable[Place]) -> NDArray[np.int16]:
    return np.array(sorted(places), dtype=np.int16)


def _open(path: Path, mode: str) -> Any:
    """An HDF5 file; h5py carries no types."""
    return h5py.File(path, mode)
