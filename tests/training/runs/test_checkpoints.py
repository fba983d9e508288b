"""Checkpoints: the newest good one is found whatever happened to the others."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from diamond_engine.errors import DiamondError
from training.runs.checkpoints import Checkpoints


def _saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder / "checkpoints")
    for step in steps:
        checkpoints.save(step, {"step": step, "weights": torch.full((1000,), float(step))})
    return checkpoints


def _found(checkpoints: Checkpoints) -> tuple[int | None, list[str]]:
    lines: list[str] = []
    state = checkpoints.newest(lines.append)
    return (None if state is None else state["step"]), lines


def test_the_newest_is_found_and_old_ones_are_removed(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path, 5, 20, 100)
    assert [path.name for path in checkpoints.paths()] == ["step_00000020.pt", "step_00000100.pt"]
    assert _found(checkpoints) == (100, [])


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert _found(_saved(tmp_path)) == (None, [])


def _cut(data: bytes) -> bytes:
    return data[:1500]


def _flip(data: bytes) -> bytes:
    middle = data.index(torch.full((1000,), 2.0).numpy().tobytes()) + 2000
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _empty(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_cut, _flip, _empty])
def test_damage_falls_back_to_the_one_before(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path, 1, 2)
    newest = checkpoints.paths()[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    step, lines = _found(checkpoints)
    assert step == 1
    assert lines == [f"{newest} is damaged (ValueError): trying the one before"]


def test_nothing_but_damage_is_an_error(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path, 1, 2)
    for path in checkpoints.paths():
        path.write_bytes(b"not a checkpoint")
    with pytest.raises(DiamondError, match=r"every checkpoint of .* is damaged"):
        _found(checkpoints)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    checkpoints = _saved(tmp_path, 1)
    leftover = checkpoints.folder / ".step_00000002.pt.123.part"
    leftover.write_bytes(b"half")
    assert _found(checkpoints) == (1, [])
    assert not leftover.exists()
