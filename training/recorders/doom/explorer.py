"""A scripted player that explores a level: goes from goal to goal, looks around, fights monsters.

It knows the level's geometry, where it is and which monsters are in sight, and acts as a person does: with keys, clicks
and a mouse that swings into a turn and out of it. Angles are in degrees, counter-clockwise.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from diamond_engine.actions import CsgoAction
from training.recorders.doom.controls import DEGREES_PER_COUNT
from training.recorders.doom.game import View
from training.recorders.doom.level import Cell, Level, Place, Routes, place_of
from training.recorders.doom.wandering import Wandering

AHEAD = 6
"""Cells of the way ahead that it walks and looks towards."""
GOALS_COMPARED = 8
"""Number of random places to choose a goal from: the least visited, or the nearest among equals."""
STUCK_FRAMES = 5
STUCK_DISTANCE = 8.0
"""A player that wants to walk and moves less than this in so many frames is stuck."""
DOOR_REACH = 6
"""Cells ahead in which a door explains being stuck."""
DOOR_FRAMES = 30
"""Frames to wait for a door to open before it counts as locked."""
AVOIDED_RADIUS = 1
"""Cells around an obstacle that are kept clear of."""
ON_TARGET = 4.0
"""Degrees within which it shoots."""
FIGHT_FRAMES = 70
"""Frames after which it stops fighting, for as many frames."""
FASTEST_SWING = 140.0
"""Mouse counts a frame."""
EIGHT_WAYS = ("w", "wa", "a", "sa", "s", "sd", "d", "wd")
"""The keys that walk in each direction, from straight ahead, counter-clockwise in steps of 45 degrees."""
WEAPONS = ("1", "1", "2", "2", "3")
"""Keys of the weapons it changes to, as often as they stand here."""


@dataclass(frozen=True)
class Whim:
    """A random habit."""

    chance: float
    """Probability of a start per frame."""
    shortest: int
    """Frames it lasts."""
    longest: int
    """Frames it lasts."""


WHIMS = {
    "rest": Whim(0.004, 8, 30),
    "glance": Whim(0.012, 8, 25),
    "tilt": Whim(0.006, 10, 30),
    "run": Whim(0.010, 20, 80),
    "crouch": Whim(0.002, 8, 20),
    "jump": Whim(0.008, 1, 2),
    "shoot": Whim(0.006, 2, 12),
    "weapon": Whim(0.006, 1, 1),
}
STRETCH = (20, 80)
"""Frames after which it decides again whether to wander, if it wanders at all."""


def turn_between(from_angle: float, to_angle: float) -> float:
    """An angle in -180 to 180."""
    return (to_angle - from_angle + 180) % 360 - 180


class Hand:
    """Moves the mouse towards its target, with inertia and a little tremor."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._speed = np.zeros(2)

    def move(self, right: float, down: float) -> tuple[float, float]:
        """Mouse counts for one frame of a turn by so many degrees."""
        wanted = np.clip(0.4 * np.array([right, down]) / DEGREES_PER_COUNT, -FASTEST_SWING, FASTEST_SWING)
        self._speed = 0.5 * self._speed + 0.5 * wanted + self._rng.normal(0, 0.6, 2)
        return float(self._speed[0]), float(self._speed[1])


class Explorer:
    """Plays one episode; deterministic given the generator."""

    def __init__(self, level: Level, rng: np.random.Generator, wander: float = 0.0) -> None:
        """``wander``: the share of the time in which its keys and mouse are random."""
        self._level = level
        self._rng = rng
        self._wander = wander
        self._visits: dict[Place, int] = {}
        self._avoided: set[Cell] = set()
        self.begin_life()

    def begin_life(self) -> None:
        """Forgets its goal but keeps its visits."""
        self._hand = Hand(self._rng)
        self._whims: dict[str, int] = {}
        self._glance = self._tilt = 0.0
        self._way: deque[Cell] = deque()
        self._trail: deque[tuple[float, float]] = deque(maxlen=STUCK_FRAMES)
        self._door_patience = 0
        self._fight_frames = 0
        self._wandering: Wandering | None = None
        self._stretch = 0

    def act(self, view: View) -> CsgoAction:
        """The action at a frame."""
        place = place_of(view.x, view.y)
        self._visits[place] = self._visits.get(place, 0) + 1
        wandering = self._wandering_now()
        if wandering is not None:
            self._trail.clear()
            return wandering.act(view.pitch)
        self._follow_whims()
        enemy = self._enemy(view)
        used = self._keep_moving(view)
        heading = self._heading(view)
        sight = heading + self._glance if enemy is None else enemy
        turn = turn_between(view.yaw, sight)
        keys = [] if "rest" in self._whims else list(EIGHT_WAYS[round(turn_between(view.yaw, heading) / 45) % 8])
        keys += [key for whim, key in (("run", "left shift"), ("crouch", "left ctrl")) if whim in self._whims]
        keys += ["space"] * ("jump" in self._whims) + ["r"] * used
        keys += [str(self._rng.choice(WEAPONS))] * ("weapon" in self._whims)
        shoots = "shoot" in self._whims if enemy is None else abs(turn) < ON_TARGET
        right, down = self._hand.move(-turn, self._tilt - view.pitch)
        return CsgoAction(tuple(keys), right, down, left_click=shoots)

    def _wandering_now(self) -> Wandering | None:
        if self._wander > 0:
            if self._stretch == 0:
                self._stretch = int(self._rng.integers(STRETCH[0], STRETCH[1] + 1))
                self._wandering = Wandering(self._rng) if self._rng.random() < self._wander else None
            self._stretch -= 1
        return self._wandering

    def _follow_whims(self) -> None:
        self._whims = {whim: left - 1 for whim, left in self._whims.items() if left > 1}
        for name, whim in WHIMS.items():
            if name not in self._whims and self._rng.random() < whim.chance:
                self._whims[name] = int(self._rng.integers(whim.shortest, whim.longest + 1))
                if name == "glance":
                    self._glance = float(self._rng.uniform(30, 130) * self._rng.choice((-1, 1)))
                if name == "tilt":
                    self._tilt = float(self._rng.uniform(-14, 14))
        if "glance" not in self._whims:
            self._glance = 0.0
        if "tilt" not in self._whims:
            self._tilt = 0.0

    def _enemy(self, view: View) -> float | None:
        """Direction of the enemy nearest to the line of sight, while it is interested in fights."""
        self._fight_frames = self._fight_frames + 1 if view.enemies or self._fight_frames > FIGHT_FRAMES else 0
        if self._fight_frames > 2 * FIGHT_FRAMES:
            self._fight_frames = 0
        if not view.enemies or self._fight_frames > FIGHT_FRAMES:
            return None
        directions = [math.degrees(math.atan2(y - view.y, x - view.x)) for x, y in view.enemies]
        return min(directions, key=lambda direction: abs(turn_between(view.yaw, direction)))

    def _keep_moving(self, view: View) -> bool:
        """Notices being stuck; returns whether to press "use", at a door. Anything else is avoided from then on."""
        self._door_patience = max(0, self._door_patience - 1)
        if "rest" in self._whims:
            self._trail.clear()
        self._trail.append((view.x, view.y))
        stuck = len(self._trail) == STUCK_FRAMES and math.dist(self._trail[0], self._trail[-1]) < STUCK_DISTANCE
        if not stuck or self._door_patience > 1:
            return False
        self._trail.clear()
        ahead = list(self._way)[:DOOR_REACH]
        if self._door_patience == 0 and any(self._level.doors[cell] for cell in ahead):
            self._door_patience = DOOR_FRAMES
            self._glance = 0.0
            self._whims.pop("glance", None)
            return True
        self._avoid(ahead[:2])
        self._way.clear()
        self._whims["jump"] = 2
        return False

    def _avoid(self, cells: list[Cell]) -> None:
        near = range(-AVOIDED_RADIUS, AVOIDED_RADIUS + 1)
        self._avoided.update((row + r, column + c) for row, column in cells for r in near for c in near)

    def _heading(self, view: View) -> float:
        """Direction to walk in, along the way to the goal; at the goal, or off the way, a new one is chosen."""
        here = self._level.cell(view.x, view.y)
        nearest = min(
            range(min(len(self._way), 2 * AHEAD)), key=lambda i: math.dist(self._way[i], here), default=len(self._way)
        )
        if nearest >= len(self._way) - 2 or math.dist(self._way[nearest], here) > AHEAD:
            self._choose_goal(view)
        else:
            for _ in range(nearest):
                self._way.popleft()
        x, y = self._level.centre(self._way[min(AHEAD, len(self._way)) - 1])
        return math.degrees(math.atan2(y - view.y, x - view.x))

    def _choose_goal(self, view: View) -> None:
        routes = self._level.routes((view.x, view.y), self._avoided)
        cells = list(routes)
        if len(cells) < AHEAD:  # surrounded by avoided cells
            self._avoided.clear()
        ways = [_way(routes, cells[self._rng.integers(len(cells))]) for _ in range(GOALS_COMPARED)]
        self._way = min(ways, key=lambda way: (self._visits.get(place_of(*self._level.centre(way[-1])), 0), len(way)))


def _way(routes: Routes, goal: Cell) -> deque[Cell]:
    """The cells from where the routes begin to a goal."""
    way = deque([goal])
    while routes[way[0]] != way[0]:
        way.appendleft(routes[way[0]])
    return way
