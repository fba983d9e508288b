"""How results are named in tables."""

import pytest

from training.evaluation.reports.drift import distinctive


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/runs/edm/world", "/runs/ddpm/world"], ["edm", "ddpm"]),
        (["runs/world"], [""]),
        (["atari/Breakout", "/runs/a/world"], ["atari/Breakout", "/runs/a/world"]),
        (["runs/a", "runs/a/later"], ["", "later"]),
    ],
)
def test_paths_are_named_by_what_differs(paths: list[str], names: list[str]) -> None:
    assert distinctive(paths) == names
