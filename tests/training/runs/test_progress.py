"""What is said about time: measured pieces only, and "more than" while a kind of work is still unknown."""

from training.runs.progress import Pace
from training.runs.seeds import derived_seed


def test_pace_leaves_out_the_first_piece_of_a_kind() -> None:
    pace = Pace()
    assert [pace.note("denoiser", seconds) for seconds in (60.0, 1.0, 3.0)] == [0, 1, 2]
    assert pace.seconds("denoiser") == 2
    assert pace.seconds("agent") == 0


def test_time_left_is_a_lower_bound_until_all_kinds_are_known() -> None:
    pace = Pace()
    assert pace.left({"denoiser": 30}) == "time left not known yet"
    for seconds in (60.0, 2.0):
        pace.note("denoiser", seconds)
    assert pace.left({"denoiser": 30, "agent": 0}) == "about 0:01:00 left"
    assert pace.left({"denoiser": 30, "agent": 5}) == "more than 0:01:00 left"


def test_seeds_for_other_purposes_differ() -> None:
    seeds = {derived_seed(seed, purpose, n) for seed in (0, 1) for purpose in ("game", "test") for n in range(50)}
    assert len(seeds) == 200
    assert derived_seed(0, "game", 3) == derived_seed(0, "game", 3)
    assert all(0 <= seed < 2**30 for seed in seeds)
