"""Every step of training on a pretended GPU: what is learnt is what a CPU learns."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from diamond_engine.diffusion import Denoiser, SamplerConfig
from diamond_engine.episodes import EpisodeFolder
from diamond_engine.imagination import WorldModelEnv
from diamond_engine.networks import ActorCritic, RewardEndModel
from diamond_engine.runtime import Runtime
from tests.conftest import tiny_config, tiny_world
from tests.pretended_device import PretendedDevice
from tests.training.trainers import (
    QUICK,
    RUNTIME,
    ddpm_trainer,
    denoiser_trainer,
    focused_trainer,
    no_export,
    reward_end_trainer,
    tokenizer_trainer,
    transformer_trainer,
)
from training.components.actor_critic import ActorCriticTrainer, ActorCriticTrainingConfig
from training.components.reward_end import RewardEndTrainer, RewardEndTrainingConfig
from training.data.dreamed_segments import DreamedSegments
from training.runs.procedure import Metrics

Make = Callable[[Path, Runtime], object]


@pytest.fixture
def gpu() -> Iterator[PretendedDevice]:
    with PretendedDevice("maia").entered() as device:
        yield device


def actor_critic_trainer(episodes: Path, runtime: Runtime) -> ActorCriticTrainer:
    """In dreams, of which some end in every update."""
    torch.manual_seed(0)
    config = tiny_config("Breakout").actor_critic
    assert config is not None
    env = WorldModelEnv(tiny_world(), 3, runtime, "fast", horizon=3)
    cfg = ActorCriticTrainingConfig(horizon=4, optimiser=QUICK)
    return ActorCriticTrainer(ActorCritic(config), env, cfg, runtime, 0, no_export)


def dreaming_reward_end_trainer(episodes: Path, runtime: Runtime) -> RewardEndTrainer:
    """From segments of which half are dreamed."""
    torch.manual_seed(0)
    tiny = tiny_config("Breakout")
    assert tiny.reward_end is not None
    dreams = DreamedSegments(Denoiser(tiny.denoiser), SamplerConfig(num_steps_denoising=1), 0.5, runtime, 0)
    cfg = RewardEndTrainingConfig(batch_size=4, transitions=6, optimiser=QUICK)
    model = RewardEndModel(tiny.reward_end)
    return RewardEndTrainer(model, EpisodeFolder(episodes), cfg, runtime, 0, no_export, dreamed=dreams)


MAKERS = [
    denoiser_trainer,
    focused_trainer,
    ddpm_trainer,
    reward_end_trainer,
    dreaming_reward_end_trainer,
    actor_critic_trainer,
    tokenizer_trainer,
    transformer_trainer,
]


def learnt(make: Make, episodes: Path, runtime: Runtime) -> list[Metrics]:
    """Two updates, a checkpoint taken and read in between."""
    trainer = make(episodes, runtime)
    first = trainer.update()
    trainer.load_state_dict(trainer.state_dict())
    return [{name: value.cpu() for name, value in metrics.items()} for metrics in (first, trainer.update())]


@pytest.mark.parametrize("make", MAKERS)
def test_a_gpu_learns_what_a_cpu_learns(make: Make, episode_folder: Path, gpu: PretendedDevice) -> None:
    mine = learnt(make, episode_folder, Runtime(gpu.device, torch.float32))
    for one, other in zip(mine, learnt(make, episode_folder, RUNTIME), strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            torch.testing.assert_close(value.float(), other[name].float(), atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("make", [denoiser_trainer, reward_end_trainer, actor_critic_trainer])
def test_in_bfloat16_under_autocast(make: Make, episode_folder: Path, gpu: PretendedDevice) -> None:
    for metrics in learnt(make, episode_folder, Runtime(gpu.device, torch.bfloat16)):
        assert all(value.isfinite() for value in metrics.values())


def test_an_update_of_the_denoiser_never_waits(episode_folder: Path, gpu: PretendedDevice) -> None:
    trainer = denoiser_trainer(episode_folder, Runtime(gpu.device, torch.float32))
    before = list(gpu.waits)
    with gpu.without_waiting():
        metrics = trainer.update()
    assert gpu.waits == before
    assert all(value.cpu().isfinite() for value in metrics.values())


def test_an_update_that_asks_for_a_value_is_found(episode_folder: Path, gpu: PretendedDevice) -> None:
    trainer = denoiser_trainer(episode_folder, Runtime(gpu.device, torch.float32))
    update = trainer.optimiser.update
    trainer.optimiser.update = lambda loss, *options: update(lambda: (asked(loss()), {}), *options)
    with gpu.without_waiting(), pytest.raises(RuntimeError, match="makes the host wait"):
        trainer.update()


def asked(loss: tuple[torch.Tensor, Metrics]) -> torch.Tensor:
    """A loss whose value somebody wants to know."""
    loss[0].item()
    return loss[0]
