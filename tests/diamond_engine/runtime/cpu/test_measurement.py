"""How a precision is chosen: by the fastest of many runs, and the same at every start."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diamond_engine.runtime import Runtime
from diamond_engine.runtime.cpu import measurement
from diamond_engine.runtime.cpu.measurement import LEAST_RUNS, MOST_SECONDS, Comparison, remembered

DESCRIBE = 'from diamond_engine.runtime import Runtime; print(Runtime.choose("cpu", compile=False).describe())'
MS = 1e-3


class Machine:
    """Two programs on a processor that others use too: a clock that a run moves by its time and by what is stolen."""

    def __init__(self, slow: float, fast: float, stolen: Iterator[float]) -> None:
        self.now, self.runs = 0.0, 0
        self._seconds, self._stolen = (slow, fast), stolen

    def sides(self) -> tuple["Run", "Run"]:
        return Run(self, self._seconds[0]), Run(self, self._seconds[1])

    def work(self, seconds: float) -> None:
        self.now += seconds + next(self._stolen)
        self.runs += 1

    def ratio(self, expected: bool = True) -> float:
        return Comparison("?", self.sides, threshold=1.2, expected=expected).ratio(lambda: self.now)


class Run:
    def __init__(self, machine: Machine, seconds: float) -> None:
        self._machine, self._seconds = machine, seconds

    def __call__(self) -> None:
        self._machine.work(self._seconds)


def nothing() -> Iterator[float]:
    while True:
        yield 0.0


def much(seed: int) -> Iterator[float]:
    """Three of four runs lose up to ten times what they take."""
    rng = np.random.default_rng(seed)
    while True:
        yield float(rng.uniform(0, 10 * MS) * (rng.random() < 0.75))


def only_the_second() -> Iterator[float]:
    """Twenty times in a row it is the other program's turn whenever the faster side runs."""
    for _ in range(20):
        yield from (0.0, 5 * MS)
    yield from nothing()


def test_an_idle_machine_needs_few_runs() -> None:
    machine = Machine(2 * MS, MS, nothing())
    assert machine.ratio() == pytest.approx(2.0)
    assert machine.runs < 3 * LEAST_RUNS


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_machine_gives_the_same_answer(seed: int) -> None:
    assert Machine(2 * MS, MS, much(seed)).ratio() >= 1.2
    assert Machine(2 * MS, 1.8 * MS, much(seed)).ratio(expected=False) < 1.2


def test_bad_luck_does_not_outweigh_what_the_processor_says() -> None:
    assert Machine(2 * MS, MS, only_the_second()).ratio() == pytest.approx(2.0)


def test_what_the_processor_says_is_not_believed_against_all_runs() -> None:
    machine = Machine(MS, 5 * MS, nothing())
    assert machine.ratio(expected=True) < 1
    assert MOST_SECONDS <= machine.now < 2 * MOST_SECONDS


def test_an_expected_answer_is_kept(tmp_path: Path) -> None:
    machine = Machine(3 * MS, MS, nothing())
    question = Comparison("which?", machine.sides, threshold=0.0, expected=True)
    first = remembered(question, tmp_path)
    runs = machine.runs
    assert remembered(question, tmp_path) == pytest.approx(first, abs=1e-3)
    assert machine.runs == runs
    remembered(replace(question, question="what?"), tmp_path)
    assert machine.runs > runs
    for kept in tmp_path.iterdir():
        kept.write_text(kept.read_text()[:20])
    runs = machine.runs
    remembered(question, tmp_path)
    assert machine.runs > runs


def test_an_unexpected_answer_is_asked_for_again(tmp_path: Path) -> None:
    machine = Machine(3 * MS, MS, nothing())
    for _ in range(2):
        runs = machine.runs
        remembered(Comparison("which?", machine.sides, threshold=0.0, expected=False), tmp_path)
        assert machine.runs > runs
    assert not list(tmp_path.iterdir())


def test_the_next_start_chooses_the_same_without_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path))

    def describe() -> str:
        """As a start that knows what is on disk alone."""
        measurement._bfloat16_speedup.cache_clear()
        return Runtime.choose("cpu", compile=False).describe()

    first = describe()
    (kept,) = tmp_path.glob("measured-*.json")
    assert subprocess.check_output([sys.executable, "-c", DESCRIBE], text=True).strip() == first
    ratio = json.loads(kept.read_text())["ratio"]
    assert f"bfloat16 is {ratio:.1f} times as fast as float32" in first
    assert ("bfloat16 (" in first) == (ratio >= 1.2)
    for invented, dtype in ((9.0, "bfloat16"), (0.5, "float32")):
        kept.write_text(json.dumps({"ratio": invented}))
        assert f"{dtype} (bfloat16 is {invented:.1f} times as fast as float32)" in describe()
    measurement._bfloat16_speedup.cache_clear()
