"""A grid from a level's geometry: where a body fits, and ways from place to place.

Shapes: R rows (south to north), C columns (west to east), K lines of a sector. Lengths are in map units: a body is 32
wide, 56 high and climbs steps of 24.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CELL = 16.0
PLACE = 128.0
"""Side of the squares in which coverage is counted."""
RADIUS = 17.0
"""Half a body's width and one unit to spare."""
HEADROOM = 56.0
STEP = 24.0
NEAR_WALL_COST = 3.0
"""Extra cost of a cell along a wall."""

Cell = tuple[int, int]
"""Row and column."""
Place = tuple[int, int]
"""Column and row of a square of side ``PLACE``."""
Routes = dict[Cell, Cell]
"""For every cell that can be reached, the one before it on the way."""


@dataclass(frozen=True)
class Sector:
    """A piece of floor with the ceiling above it."""

    floor: float
    """Height of the floor."""
    ceiling: float
    """Height of the ceiling; closed doors have theirs at the floor."""
    lines: NDArray[np.float64]
    """``(K, 4)``: x and y of both ends of the lines around it."""
    blocking: NDArray[np.bool_]
    """``(K,)``: whether nobody gets across a line."""


def place_of(x: float, y: float) -> Place:
    """The square of a position."""
    return int(x // PLACE), int(y // PLACE)


class Level:
    """The grid of a level: standing heights, walls, doors."""

    def __init__(self, sectors: Sequence[Sector]) -> None:
        points = np.concatenate([sector.lines for sector in sectors]).reshape(-1, 2)
        self._origin = np.floor(points.min(axis=0) / CELL) * CELL - 2 * CELL
        columns, rows = (np.ceil((points.max(axis=0) - self._origin) / CELL) + 2).astype(int)
        floor = np.full((rows, columns), -np.inf, dtype=np.float32)
        ceiling = np.full((rows, columns), np.inf, dtype=np.float32)
        wall = np.ones((rows, columns), dtype=bool)
        self.doors = np.zeros((rows, columns), dtype=bool)
        for sector in sectors:
            closed = sector.ceiling - sector.floor < HEADROOM
            for row, span in self._spans(sector, rows):
                floor[row, span] = sector.floor
                ceiling[row, span] = np.inf if closed else sector.ceiling
                wall[row, span] = False
                self.doors[row, span] = closed
        for sector in sectors:
            for line in sector.lines[sector.blocking]:
                self._wall_off(wall, line)
        around = np.ones((3, 3), dtype=np.uint8)  # of the cells that a body in the middle one touches
        self._floor = cv2.dilate(floor, around)
        self._ceiling = cv2.erode(ceiling, around)
        self._free = ~wall
        self._open = cv2.erode(self._free.astype(np.uint8), around).astype(bool)

    def cell(self, x: float, y: float) -> Cell:
        """The cell of a position."""
        column, row = (np.array([x, y]) - self._origin) // CELL
        return int(row), int(column)

    def centre(self, cell: Cell) -> tuple[float, float]:
        """Position of the middle of a cell."""
        x, y = self._origin + (np.array(cell[::-1]) + 0.5) * CELL
        return float(x), float(y)

    def routes(self, start: tuple[float, float], avoid: Set[Cell] = frozenset()) -> Routes:
        """The cheapest ways from a position to everywhere (Dijkstra's algorithm), with doors open."""
        begin = self._nearest_free(self.cell(*start))
        came_from: Routes = {begin: begin}
        costs = {begin: 0.0}
        queue = [(0.0, begin)]
        while queue:
            cost, cell = heapq.heappop(queue)
            if cost > costs[cell]:
                continue
            for neighbour, length in self._neighbours(cell):
                further = cost + length * (1.0 if self._open[neighbour] else NEAR_WALL_COST)
                if neighbour not in avoid and further < costs.get(neighbour, np.inf):
                    costs[neighbour], came_from[neighbour] = further, cell
                    heapq.heappush(queue, (further, neighbour))
        return came_from

    def keep_within(self, start: tuple[float, float], reach: int) -> None:
        """Closes all cells that are further than so many cells of the way from a position."""
        routes = self.routes(start)
        lengths: dict[Cell, int] = {}
        for cell in routes:
            way = [cell]
            while way[-1] not in lengths and routes[way[-1]] != way[-1]:
                way.append(routes[way[-1]])
            length = lengths.setdefault(way.pop(), 0)
            for further in reversed(way):
                length += 1
                lengths[further] = length
        kept = np.zeros_like(self._free)
        for cell, length in lengths.items():
            kept[cell] = length <= reach
        self._free &= kept

    def _spans(self, sector: Sector, rows: int) -> Iterator[tuple[int, slice]]:
        """The rows of a sector and which columns of them lie inside, by the even-odd rule."""
        x1, y1, x2, y2 = sector.lines.T
        top, bottom = (int((y - self._origin[1]) // CELL) for y in (max(y1.max(), y2.max()), min(y1.min(), y2.min())))
        for row in range(max(bottom, 0), min(top + 1, rows)):
            y = self._origin[1] + (row + 0.5) * CELL + 0.01  # never exactly through a corner
            crossed = (y1 > y) != (y2 > y)
            slope = (x2 - x1)[crossed] / (y2 - y1)[crossed]
            crossings = np.sort(x1[crossed] + (y - y1[crossed]) * slope)
            edges = np.ceil((crossings - self._origin[0]) / CELL - 0.5).astype(int)
            for first, last in zip(edges[::2], edges[1::2], strict=False):
                yield row, slice(first, last)

    def _wall_off(self, wall: NDArray[np.bool_], line: NDArray[np.float64]) -> None:
        """Marks the cells whose middle is less than a body's radius from a line."""
        start, end = line[:2], line[2:]
        low, high = np.minimum(start, end) - RADIUS, np.maximum(start, end) + RADIUS
        (left, bottom), (right, top) = self.cell(*low)[::-1], self.cell(*high)[::-1]
        x, y = (
            self._origin[axis] + (np.arange(a, b + 1) + 0.5) * CELL
            for axis, a, b in ((0, left, right), (1, bottom, top))
        )
        points = np.stack(np.meshgrid(x, y), axis=-1) - start
        along = end - start
        fraction = np.clip(points @ along / max(along @ along, 1e-9), 0, 1)
        distance = np.linalg.norm(points - fraction[..., None] * along, axis=-1)
        wall[bottom : top + 1, left : right + 1] |= distance < RADIUS

    def _nearest_free(self, cell: Cell) -> Cell:
        free = np.argwhere(self._free)
        row, column = free[np.abs(free - cell).sum(axis=1).argmin()]
        return int(row), int(column)

    def _neighbours(self, cell: Cell) -> Iterator[tuple[Cell, float]]:
        row, column = cell
        sides = {(r, c): self._passable(cell, (row + r, column + c)) for r, c in ((0, 1), (0, -1), (1, 0), (-1, 0))}
        for (r, c), passable in sides.items():
            if passable:
                yield (row + r, column + c), 1.0
        for r in (-1, 1):
            for c in (-1, 1):
                diagonal = (row + r, column + c)
                if sides[r, 0] and sides[0, c] and self._passable(cell, diagonal):
                    yield diagonal, 1.5

    def _passable(self, cell: Cell, neighbour: Cell) -> bool:
        if not self._free[neighbour]:
            return False
        lower, upper = self._floor[cell], self._floor[neighbour]
        headroom = min(self._ceiling[cell], self._ceiling[neighbour]) - max(lower, upper)
        return bool(upper - lower <= STEP and headroom >= HEADROOM)
