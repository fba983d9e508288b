"""The actor-critic learns a trivial game and bootstraps from what a truncated step led to."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diamond_engine.environment import BatchedEnv, Info
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.networks import ActorCritic
from diamond_engine.runtime import Runtime
from tests.conftest import tiny_config, tiny_world
from tests.training.trainers import RUNTIME, no_export
from training.components.actor_critic import ActorCriticTrainer, ActorCriticTrainingConfig
from training.components.optimisation import OptimiserConfig

LUCKY = 2


class LuckyAction:
    """One action in four earns a point; every game is truncated after 8 steps."""

    num_actions = 4

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.steps = 0
        self.seeds: list[int | None] = []
        self._images: Iterator[Tensor] = iter(())

    def reset(self, seed: int | None = None) -> tuple[Tensor, Info]:
        self.steps = 0
        self.seeds.append(seed)
        self._images = _images(self.num_envs)
        return next(self._images), {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Info]:
        self.steps += 1
        never, now = torch.zeros(2, self.num_envs, dtype=torch.bool)
        now = now | (self.steps % 8 == 0)
        info = {"final_obs": next(self._images)} if bool(now.any()) else {}
        return next(self._images), (actions == LUCKY).float(), never, now, info


def _images(num_envs: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield torch.rand(num_envs, 3, 64, 64, generator=generator) * 2 - 1


def _trainer(env: BatchedEnv, horizon: int, runtime: Runtime = RUNTIME) -> ActorCriticTrainer:
    torch.manual_seed(0)
    config = tiny_config("Breakout").actor_critic
    assert config is not None
    cfg = ActorCriticTrainingConfig(
        horizon=horizon, optimiser=OptimiserConfig(learning_rate=1e-2, weight_decay=0.0, warmup_steps=1)
    )
    return ActorCriticTrainer(ActorCritic(config), env, cfg, runtime, 5, no_export)


def test_mean_return_rises() -> None:
    trainer = _trainer(LuckyAction(8), horizon=8)
    assert float(trainer.update()["episode_return"]) < 4
    assert any(float(trainer.update()["episode_return"]) > 7 for _ in range(60))


class Advice:
    """A teacher that always advises one action."""

    def __init__(self, action: int) -> None:
        self.action = action
        self.asked = 0
        self.forgot = 0

    def act(self, obs: Tensor) -> Tensor:
        self.asked += 1
        return torch.full((len(obs),), self.action)

    def reset(self, mask: Tensor | None = None) -> None:
        self.forgot += mask is None


def test_teacher_forgets_the_dreams_before() -> None:
    teacher = Advice(LUCKY)
    made = _trainer(LuckyAction(2), horizon=3)
    cfg = replace(made.cfg, kickstart_updates=5)
    trainer = ActorCriticTrainer(made.network, made.env, cfg, RUNTIME, 5, no_export, teacher=teacher, fresh=True)
    for _ in range(4):
        trainer.update()
    assert teacher.forgot == 4


def test_teacher_is_followed_until_the_kickstart_ends() -> None:
    teacher = Advice(LUCKY - 1)
    plain = _trainer(LuckyAction(8), horizon=8)
    cfg = replace(plain.cfg, kickstart_updates=20)
    trainer = ActorCriticTrainer(plain.network, plain.env, cfg, RUNTIME, 5, no_export, teacher=teacher)
    losses = [float(trainer.update()["loss_teacher"]) for _ in range(20)]
    assert losses[15] < losses[0] / 2  # the advice earns nothing: only the teacher speaks for it
    assert teacher.asked == 20 * 8
    assert "loss_teacher" not in trainer.update()
    assert teacher.asked == 20 * 8


def test_truncated_steps_bootstrap_from_what_they_led_to() -> None:
    trainer = _trainer(LuckyAction(2), horizon=10)
    network = trainer.network
    torch.nn.init.normal_(network.critic_linear.weight)
    trainer._start()
    with torch.no_grad():
        rollout = trainer._roll_out()
        images, state = _images(2), network.initial_state(2)
        bootstrap = []
        obs = next(images)
        for step in range(1, 11):
            state = network(obs, state)[2]
            obs = next(images)
            bootstrap.append(network(obs, state)[1])
            if step == 8:
                obs, state = next(images), network.initial_state(2)
    torch.testing.assert_close(rollout.bootstrap, torch.stack(bootstrap, dim=1))
    assert rollout.truncs[:, 7].all()
    assert rollout.truncs.sum() == 2


def test_continued_training_starts_other_games() -> None:
    env = LuckyAction(2)
    first = _trainer(env, horizon=2)
    for _ in range(3):
        first.update()
    second = _trainer(env, horizon=2)
    second.load_state_dict(first.state_dict())
    second.update()
    assert len(set(env.seeds)) == 2


def test_fresh_environments_make_a_continued_training_exact() -> None:
    def trainer() -> ActorCriticTrainer:
        made = _trainer(LuckyAction(2), horizon=4)
        return ActorCriticTrainer(made.network, made.env, made.cfg, RUNTIME, 5, no_export, fresh=True)

    straight, first, second = trainer(), trainer(), trainer()
    expected = [straight.update() for _ in range(4)]
    for _ in range(2):
        first.update()
    second.load_state_dict(deepcopy(first.state_dict()))
    assert [second.update() for _ in range(2)] == expected[2:]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_first_update_in_imagination_reaches_every_parameter(dtype: str) -> None:
    runtime = Runtime.choose("cpu", dtype)
    trainer = _trainer(WorldModelEnv(tiny_world(), 2, "cpu", dtype=dtype, horizon=3), 3, runtime)
    trainer.update()
    assert [name for name, parameter in trainer.network.named_parameters() if parameter.grad is None] == []


def test_export_gets_the_network(tmp_path: Path) -> None:
    trainer = _trainer(LuckyAction(1), horizon=1)
    exported = []
    trainer._export = lambda folder, network, provenance: exported.append((folder, network, provenance))
    trainer.export(tmp_path, {"updates": 0})
    assert exported == [(tmp_path, trainer.network, {"updates": 0})]
