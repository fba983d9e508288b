"""The grid of a level, on levels of a few rooms made by hand."""

import numpy as np
import pytest

from training.recorders.doom.level import HEADROOM, STEP, Cell, Level, Sector, place_of

HIGH = 128.0


def room(
    left: float, bottom: float, right: float, top: float, *, floor: float = 0, ceiling: float = HIGH, opening: str = ""
) -> Sector:
    """A rectangle; nobody gets across its sides but those named in ``opening``: w, e, s, n."""
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    lines = [(*corners[i], *corners[(i + 1) % 4]) for i in range(4)]
    return Sector(floor, ceiling, np.array(lines), np.array([side not in opening for side in "senw"]))


def two_rooms(between: Sector) -> Level:
    """Rooms of 256 by 256 to the west and east of something 64 wide and as high as they are."""
    return Level([room(0, 0, 256, 256, opening="e"), between, room(320, 0, 576, 256, opening="w")])


WEST, EAST = (128.0, 128.0), (448.0, 128.0)


def reaches(level: Level, start: tuple[float, float], goal: tuple[float, float]) -> bool:
    return level.cell(*goal) in level.routes(start)


def way(level: Level, start: tuple[float, float], goal: tuple[float, float], avoid: set[Cell] | None = None) -> list:
    """Cells from goal to start."""
    routes, cell = level.routes(start, avoid or set()), level.cell(*goal)
    cells = [cell]
    while routes[cell] != cell:
        cell = routes[cell]
        cells.append(cell)
    return cells


def test_cells_and_their_centres() -> None:
    level = Level([room(-100, 40, 200, 300)])
    for x, y in ((-99.0, 41.0), (0.0, 100.0), (199.0, 299.0)):
        centre = level.centre(level.cell(x, y))
        assert abs(centre[0] - x) <= 8
        assert abs(centre[1] - y) <= 8
        assert level.cell(*centre) == level.cell(x, y)


def test_places_are_squares_also_on_the_other_side_of_zero() -> None:
    assert place_of(0, 127) == (0, 0)
    assert place_of(-1, 128) == (-1, 1)


def test_a_body_keeps_its_distance_from_walls() -> None:
    level = Level([room(0, 0, 256, 256)])
    centres = [level.centre(cell) for cell in level.routes((128, 128))]
    assert {place_of(*centre) for centre in centres} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    sides = [coordinate for centre in centres for coordinate in centre]
    assert min(sides) == 24  # the centres at 8 and 248 are nearer than half a body
    assert max(sides) == 232


def test_what_stands_in_the_middle_is_walked_around() -> None:
    hall, pillar = room(0, 0, 256, 256), room(120, 0, 136, 180)
    lines, blocking = np.concatenate([hall.lines, pillar.lines]), np.append(hall.blocking, pillar.blocking)
    level = Level([Sector(0, HIGH, lines, blocking)])
    assert max(level.centre(cell)[1] for cell in way(level, (40, 40), (216, 40))) > 180


def test_a_line_that_does_not_block_is_crossed() -> None:
    assert reaches(two_rooms(room(256, 0, 320, 256, opening="we")), WEST, EAST)
    assert not reaches(two_rooms(room(256, 0, 320, 256, opening="w")), WEST, EAST)


@pytest.mark.parametrize(
    ("floor", "there", "back"), [(STEP, True, True), (STEP + 1, False, False), (-STEP, True, True)]
)
def test_steps_up_to_a_height_are_climbed(floor: float, there: bool, back: bool) -> None:
    level = two_rooms(room(256, 0, 320, 256, floor=floor, opening="we"))
    assert (reaches(level, WEST, EAST), reaches(level, EAST, WEST)) == (there, back)


def test_from_a_ledge_one_only_gets_down() -> None:
    east = room(256, 0, 512, 256, ceiling=300, opening="w")
    level = Level([room(0, 0, 256, 256, floor=100, ceiling=300, opening="e"), east])
    assert reaches(level, (128, 128), (400, 128))
    assert not reaches(level, (400, 128), (128, 128))


@pytest.mark.parametrize("ceiling", [0.0, HEADROOM - 1])
def test_what_is_too_low_is_a_door_and_taken_for_open(ceiling: float) -> None:
    level = two_rooms(room(256, 0, 320, 256, ceiling=ceiling, opening="we"))
    assert any(level.doors[cell] for cell in way(level, WEST, EAST))
    assert not level.doors[level.cell(*WEST)]


def test_what_is_just_high_enough_is_no_door() -> None:
    level = two_rooms(room(256, 0, 320, 256, ceiling=HEADROOM, opening="we"))
    assert not level.doors.any()
    assert reaches(level, WEST, EAST)


def test_what_is_avoided_is_walked_around_or_ends_the_way() -> None:
    level = Level([room(0, 0, 256, 256)])
    straight = way(level, (40, 128), (216, 128))
    row, column = level.cell(128, 128)
    obstacle = {(row + offset, column) for offset in (-2, -1, 0, 1, 2)}
    around = way(level, (40, 128), (216, 128), obstacle)
    assert obstacle & set(straight)
    assert not obstacle & set(around)
    assert level.cell(216, 128) not in level.routes((40, 128), {(row, column) for row in range(100)})


def test_ways_through_the_open_are_preferred_to_ways_along_walls() -> None:
    level = Level([room(0, 0, 512, 256)])
    distances = [min(level.centre(cell)[1], 256 - level.centre(cell)[1]) for cell in way(level, (40, 30), (472, 30))]
    assert max(distances) == 40  # and not 24, as at both ends


def test_a_start_in_a_wall_begins_at_the_nearest_free_cell() -> None:
    level = Level([room(0, 0, 256, 256)])
    assert len(level.routes((-20, 128))) == len(level.routes((128, 128)))
