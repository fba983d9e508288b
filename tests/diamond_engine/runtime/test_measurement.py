"""How a precision is chosen: by the fastest of many runs, and the same at every start."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diamond_engine.runtime.measurement import LEAST_RUNS, MOST_RUNS, Comparison, remembered

DESCRIBE = 'from diamond_engine.runtime import Runtime; print(Runtime.choose("cpu", compile=False).describe())'


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
    """Nine of ten runs lose up to a hundred times what they take."""
    rng = np.random.default_rng(seed)
    while True:
        yield float(rng.uniform(0, 100) * (rng.random() < 0.9))


def only_the_second() -> Iterator[float]:
    """A hundred times in a row it is the other program's turn whenever the faster side runs."""
    for _ in range(100):
        yield from (0.0, 50.0)
    yield from nothing()


def test_an_idle_machine_needs_few_runs() -> None:
    machine = Machine(2.0, 1.0, nothing())
    assert machine.ratio() == pytest.approx(2.0)
    assert machine.runs < 3 * LEAST_RUNS


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_machine_gives_the_same_answer(seed: int) -> None:
    assert Machine(2.0, 1.0, much(seed)).ratio() >= 1.2
    assert Machine(2.0, 1.8, much(seed)).ratio(expected=False) < 1.2


def test_bad_luck_does_not_outweigh_what_the_processor_says() -> None:
    assert Machine(2.0, 1.0, only_the_second()).ratio() == pytest.approx(2.0)


def test_what_the_processor_says_is_not_believed_against_all_runs() -> None:
    machine = Machine(1.0, 30.0, nothing())
    assert machine.ratio(expected=True) < 1
    assert machine.runs == 2 * MOST_RUNS


def test_an_answer_is_kept(tmp_path: Path) -> None:
    machine = Machine(3.0, 1.0, nothing())
    question = Comparison("which?", machine.sides, threshold=1.2, expected=True)
    first = remembered(question, 2, tmp_path)
    runs = machine.runs
    assert remembered(question, 2, tmp_path) == pytest.approx(first, abs=1e-3)
    assert machine.runs == runs
    for other, threads in ((replace(question, question="what?"), 2), (question, 1)):
        remembered(other, threads, tmp_path)
        assert machine.runs > runs
        runs = machine.runs
    for kept in tmp_path.iterdir():
        kept.write_text(kept.read_text()[:20])
    remembered(question, 2, tmp_path)
    assert machine.runs > runs


def test_the_next_start_chooses_the_same_without_measuring(tmp_path: Path) -> None:
    def describe() -> str:
        environment = {**os.environ, "DIAMOND_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
        return subprocess.check_output([sys.executable, "-c", DESCRIBE], env=environment, text=True)

    first = describe()
    (kept,) = tmp_path.glob("measured-*.json")
    assert describe() == first
    ratio = json.loads(kept.read_text())["ratio"]
    assert f"bfloat16 is {ratio:.1f} times as fast as float32" in first
    assert ("bfloat16 (" in first) == (ratio >= 1.2)
    for invented, dtype in ((9.0, "bfloat16"), (0.5, "float32")):
        kept.write_text(json.dumps({"ratio": invented}))
        assert f"{dtype} (bfloat16 is {invented:.1f} times as fast as float32)" in describe()
