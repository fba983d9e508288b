"""What ``doctor`` says of speed: of this machine, or of the programs that keep it busy."""

import os
from pathlib import Path

import pytest

from diamond_engine.runtime import Runtime
from play import doctor
from play.machine import OtherPrograms, own_cores


def stat(path: Path, seconds: float) -> Path:
    """What Linux tells of cores that have been busy for so long, and idle for as long."""
    ticks = int(seconds * os.sysconf("SC_CLK_TCK"))
    lines = [f"cpu{core} {ticks} 0 0 {ticks} 0 0 0 0 0 0" for core in range(max(own_cores()) + 9)]
    path.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *lines, "intr 5"]))
    return path


def test_other_programs_are_counted_on_the_cores_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((10.0, 12.0))
    monkeypatch.setattr("play.machine.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("play.machine.time.process_time", lambda: 0.0)
    others = OtherPrograms(stat(tmp_path / "stat", 100))
    stat(tmp_path / "stat", 101)
    assert others.cores() == pytest.approx(len(own_cores()) / 2)


def test_where_a_system_does_not_tell_nothing_is_counted(tmp_path: Path) -> None:
    assert OtherPrograms(tmp_path / "none").cores() is None


@pytest.mark.parametrize(("speed", "shown"), [(0.66, "about 0.7 frames/s"), (31.4, "about 31 frames/s")])
def test_an_idle_machine_has_a_speed(speed: float, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_frames_per_second", lambda runtime: (speed, 2))
    monkeypatch.setattr(OtherPrograms, "cores", lambda self: 0.01)
    finding = doctor.speed(Runtime.choose("cpu", compile=False))
    assert finding.state.startswith(f"{shown} on 2 threads (")
    assert finding.problem is None


def test_a_busy_machine_is_named_beside_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(own_cores())
    monkeypatch.setattr(doctor, "_frames_per_second", lambda runtime: (12.0, 1))
    monkeypatch.setattr(OtherPrograms, "cores", lambda self: 0.9 * cores)
    finding = doctor.speed(Runtime.choose("cpu", compile=False))
    assert finding.state.startswith("about 12 frames/s on 1 thread (")
    assert finding.state.endswith(", beside other programs")
    assert finding.problem is not None
    assert finding.problem.startswith(f"other programs take {0.9 * cores:.1f} of {cores} cores (load ")
