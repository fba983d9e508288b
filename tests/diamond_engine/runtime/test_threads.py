"""Steps run on as many threads as serve best now, and the choice follows what other programs do."""

from dataclasses import replace

import torch

from diamond_engine import WorldModelEnv
from diamond_engine.runtime import Runtime, ThreadChoice
from diamond_engine.runtime.cpu.kernels import Kernels
from diamond_engine.runtime.threads import LONGEST_WAIT
from tests.conftest import tiny_world


class Machine:
    """A clock, and steps that take as long as the machine says for a number of threads."""

    def __init__(self, most: int) -> None:
        self.now = 0.0
        self.threads = 0
        self.seconds: dict[int, float] = {}
        self.choice = ThreadChoice(lambda: self.now, most, self._set)
        self.used: list[int] = []

    def _set(self, threads: int) -> None:
        self.threads = threads

    def play(self, steps: int) -> list[int]:
        """The threads that the steps ran on."""
        before = len(self.used)
        for _ in range(steps):
            with self.choice.step():
                self.now += self.seconds[self.threads]
            self.used.append(self.threads)
        return self.used[before:]


def test_where_threads_help_all_are_used_and_trials_become_rare() -> None:
    machine = Machine(2)
    machine.seconds = {1: 0.038, 2: 0.020}
    used = machine.play(4000)
    assert machine.choice.count == 2
    assert used.count(1) <= 8 + 4000 // LONGEST_WAIT
    machine.seconds = {1: 0.02, 2: 0.2}
    with machine.choice:
        machine.play(20)
        assert machine.threads == 1
    assert machine.threads == 2


def test_one_thread_goes_on_where_others_keep_them_waiting_and_all_come_back_afterwards() -> None:
    machine = Machine(2)
    machine.seconds = {1: 0.038, 2: 0.020}
    machine.play(100)
    machine.seconds = {1: 0.045, 2: 0.190}
    used = machine.play(200)
    assert used[:3] == [2, 2, 1]
    assert used[3:].count(2) <= 2
    assert machine.choice.count == 1
    machine.seconds = {1: 0.038, 2: 0.020}
    machine.play(LONGEST_WAIT + 10)
    assert machine.choice.count == 2


def test_a_single_slow_step_changes_nothing() -> None:
    machine = Machine(2)
    machine.seconds = {1: 0.038, 2: 0.020}
    machine.play(500)
    machine.seconds[2] = 0.2
    assert machine.play(1) == [2]
    machine.seconds[2] = 0.020
    assert machine.play(5) == [2] * 5


def test_of_many_threads_the_best_number_is_found() -> None:
    machine = Machine(8)
    machine.seconds = {8: 0.3, 4: 0.1, 2: 0.06, 1: 0.1}
    machine.play(100)
    assert machine.choice.count == 2


def test_a_machine_of_one_core_is_not_asked() -> None:
    machine = Machine(1)
    machine.seconds = {1: 0.05}
    assert machine.play(50) == [1] * 50


def test_dreams_of_the_kernels_do_not_depend_on_the_number_of_threads(kernels: Kernels) -> None:
    world = tiny_world()
    runtime = replace(Runtime.choose("cpu", "float32", compile=False), kernels=kernels)
    assert runtime.same_on_any_threads
    env = WorldModelEnv(world, 1, runtime, "fast", seed=0)
    frames: dict[int, torch.Tensor] = {}
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            env.reset(seed=3)
            frames[threads] = torch.stack([env.step(torch.tensor([step % 4]))[0] for step in range(6)])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(frames[1], frames[2])
