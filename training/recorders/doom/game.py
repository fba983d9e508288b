"""Freedoom in ViZDoom, stepped with CS:GO actions at 17.5 Hz.

The level is E1M1 of Freedoom: Phase 1: small, lit, with rooms that differ; or that of a scenario. Frames are rendered
at 640×360 without status bar, which no one can read at 56×30, and without crosshair, and area-resized to 280×150. The
game is shown with its weapon and without screen flashes. A scenario shows the flash of a pickup: it is what one sees
of it at 56×30; there is no weapon in it.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond_engine.actions import CsgoAction
from diamond_engine.errors import DiamondError
from training.recorders.doom.controls import BUTTONS, buttons
from training.recorders.doom.level import Level, Sector
from training.recorders.doom.scenarios import DATA as SCENARIO_DATA
from training.recorders.doom.scenarios import HURT, HURTS, PER_PICKUP, SCENARIOS, used
from training.recorders.doom.scenarios import MAP as SCENARIO_MAP

if TYPE_CHECKING:
    import vizdoom

DATA = "freedoom1.wad"
MAP = "E1M1"
SKILL = 2
"""Of 5; the monsters of the second are few enough to be survived for a while."""
TICS_PER_FRAME = 2
FRAMES_PER_SECOND = 35 / TICS_PER_FRAME
FRAME_SIZE = (280, 150)
"""Width and height."""
GAMMA = 1.4
"""The level is dark as it is."""
TICS_TO_BEGIN = 20
"""Until the weapon is drawn."""
CONSOLE = ("cl_showsecretmessage 0", "give Shotgun", "give Shell 50", "give keys")
"""Commands that begin a life: no text across the screen, something for every weapon key, and keys to all doors."""
VARIABLES = ("POSITION_X", "POSITION_Y", "ANGLE", "PITCH", "HEALTH", "SELECTED_WEAPON_AMMO", "KILLCOUNT")


@dataclass(frozen=True)
class View:
    """The player's view and state at one frame."""

    frame: NDArray[np.uint8]
    """``(150, 280, 3)`` BGR."""
    x: float
    """Position to the east, in map units."""
    y: float
    """Position to the north, in map units."""
    yaw: float
    """Direction of sight, in degrees, counter-clockwise from east."""
    pitch: float
    """Direction of sight, in degrees below the horizon."""
    health: float
    """0 to 200."""
    ammo: float
    """Of the weapon in hand."""
    kills: int
    """Monsters killed in this life."""
    dead: bool
    """Whether this life is over; the other values are then the last ones."""
    enemies: tuple[tuple[float, float], ...]
    """Positions of the living monsters in sight."""
    items: tuple[tuple[float, float], ...] = ()
    """Positions of the medkits in sight."""
    pickups: int = 0
    """Number of pickups in this life that the scenario counts."""


class Doom:
    """One game of Freedoom, as a context manager. It depends only on the seed and the actions.

    Raises ``DiamondError`` if ViZDoom is not installed.
    """

    def __init__(self, seed: int, monsters: bool = True, scenario: str = "") -> None:
        """``scenario``: one of ``SCENARIOS`` instead of the game."""
        self._vizdoom = load_vizdoom()
        self._monsters = monsters
        self.name = f"{SCENARIO_DATA} {scenario}" if scenario else f"{DATA} {MAP}"
        self._scenario_name = scenario
        self._scenario = SCENARIOS[scenario] if scenario else None
        self._folder = tempfile.TemporaryDirectory(prefix="diamond-doom-")
        self._game = self._configured(seed)
        with contextlib.chdir(self._folder.name):  # the engine writes its settings there
            self._game.init()
        state: Any = self._game.get_state()
        x, y = state.game_variables[:2]
        self.start = (float(x), float(y))
        self.level = Level([_sector(sector) for sector in state.sectors])
        self._game.set_sectors_info_enabled(False)
        self._view = self._seen(state)

    def spawn(self, x: float, y: float, seed: int) -> View:
        """Begins a life at a position, in the level as it was at first."""
        self._game.set_seed(seed)
        self._game.new_episode()
        console = CONSOLE if self._scenario is None else self._scenario.console
        for command in (*console, f"warp {x:.0f} {y:.0f}"):
            self._game.send_game_command(command)
        self._game.advance_action(TICS_TO_BEGIN)
        return self._look()

    def step(self, action: CsgoAction) -> View:
        """Plays one frame's time."""
        held = buttons(action, TICS_PER_FRAME)
        if self._scenario is not None:
            held = used(self._scenario, held)
            if self._view.health > HURT:
                self._game.send_game_command(HURTS)
        self._game.make_action(held, TICS_PER_FRAME)
        return self._look()

    def close(self) -> None:
        """Ends the game."""
        self._game.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _configured(self, seed: int) -> vizdoom.DoomGame:
        vzd = self._vizdoom
        game = vzd.DoomGame()
        package = Path(str(vzd.__file__)).parent
        game.set_doom_game_path(str(package / (SCENARIO_DATA if self._scenario else DATA)))
        if self._scenario:
            game.set_doom_scenario_path(str(package / "scenarios" / f"{self._scenario_name}.wad"))
        game.set_doom_map(SCENARIO_MAP if self._scenario else MAP)
        game.set_doom_skill(SKILL)
        game.set_seed(seed)
        if not self._monsters:
            game.add_game_args("-nomonsters")
        game.set_mode(vzd.Mode.PLAYER)
        game.set_episode_timeout(0)
        game.set_window_visible(False)
        game.set_screen_resolution(vzd.ScreenResolution.RES_640X360)
        game.set_screen_format(vzd.ScreenFormat.BGR24)
        game.set_render_hud(False)
        game.set_render_crosshair(False)
        game.set_render_screen_flashes(self._scenario is not None)
        game.set_labels_buffer_enabled(True)
        game.set_sectors_info_enabled(True)
        game.set_available_buttons([getattr(vzd.Button, name) for name in BUTTONS])
        variables = VARIABLES if self._scenario is None else (*VARIABLES, self._scenario.pickups)
        game.set_available_game_variables([getattr(vzd.GameVariable, name) for name in variables])
        return game

    def _look(self) -> View:
        state = self._game.get_state()
        self._view = replace(self._view, dead=True) if state is None else self._seen(state)
        return self._view

    def _seen(self, state: Any) -> View:
        """View of a ``vizdoom.GameState``, whose stubs allow None everywhere."""
        x, y, yaw, pitch, health, ammo, kills, *counted = map(float, state.game_variables)
        return View(
            frame=_shown(state.screen_buffer),
            x=x,
            y=y,
            yaw=yaw,
            pitch=pitch,
            health=health,
            ammo=ammo,
            kills=int(kills),
            dead=False,
            enemies=_positions(state.labels, "Monster"),
            items=_positions(state.labels, "Health"),
            pickups=round(self._vizdoom.doom_fixed_to_double(int(counted[0])) / PER_PICKUP) if counted else 0,
        )


def load_vizdoom() -> ModuleType:
    """The optional package. Raises ``DiamondError`` if it is missing."""
    try:
        import vizdoom
    except ImportError as error:
        raise DiamondError("recording Doom needs ViZDoom: pip install diamond-engine[doom]") from error
    return vizdoom


def _sector(sector: vizdoom.Sector) -> Sector:
    return Sector(
        floor=sector.floor_height,
        ceiling=sector.ceiling_height,
        lines=np.array([(line.x1, line.y1, line.x2, line.y2) for line in sector.lines]),
        blocking=np.array([line.is_blocking for line in sector.lines]),
    )


def _positions(labels: Any, category: str) -> tuple[tuple[float, float], ...]:
    return tuple(
        (label.object_position_x, label.object_position_y) for label in labels if label.object_category == category
    )


def _shown(screen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    levels = 255 * (np.arange(256) / 255) ** (1 / GAMMA)
    resized = cv2.resize(screen, FRAME_SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.LUT(resized, levels.round().astype(np.uint8)), dtype=np.uint8)
