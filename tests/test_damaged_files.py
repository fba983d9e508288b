"""A few inputs of the campaign of damaged files; the rest: ``python -m tests.damaged_files``."""

import shutil
import sys
from pathlib import Path
from subprocess import run

import pytest

from diamond_engine.errors import DiamondError
from tests.damaged_files import kinds

INPUTS, MANY = 140, 1000


def test_a_good_file_of_every_kind_is_read(tmp_path: Path) -> None:
    refused: dict[str, DiamondError] = {}
    for number, kind in enumerate(kinds(tmp_path)):
        copy = tmp_path / f"copy {number}"
        shutil.copytree(kind.good, copy)
        try:
            kind.use(copy)
        except DiamondError as error:
            refused[kind.name] = error
    assert refused == {}


@pytest.mark.parametrize(("seed", "inputs"), [(1, INPUTS), pytest.param(2, MANY, marks=pytest.mark.slow)])
def test_damaged_files_end_in_the_projects_errors_alone(seed: int, inputs: int) -> None:
    """In a process of its own: a crash, and the memory it took, are its."""
    command = [sys.executable, "-m", "tests.damaged_files", "--inputs", str(inputs), "--seed", str(seed)]
    done = run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{inputs} inputs" in done.stdout
