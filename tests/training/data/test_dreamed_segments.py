"""The reward/end model learns from what it will judge: dreamed frames under the actions that were really taken."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from diamond_engine.diffusion import Denoiser, SamplerConfig
from diamond_engine.episodes import EpisodeFolder, SegmentBatch
from diamond_engine.networks import RewardEndModel
from tests.conftest import tiny_config
from tests.training.trainers import QUICK, RUNTIME, no_export
from training.components.reward_end import RewardEndTrainer, RewardEndTrainingConfig
from training.data.dreamed_segments import DreamedSegments
from training.data.segments import SegmentStream

LENGTH, CONTEXT = 9, 4


def dreams(share: float = 0.5) -> DreamedSegments:
    torch.manual_seed(0)
    denoiser = Denoiser(tiny_config("Breakout").denoiser)
    for weights in denoiser.parameters():  # as it starts it predicts the same for all
        torch.nn.init.normal_(weights, std=0.1)
    return DreamedSegments(denoiser, SamplerConfig(num_steps_denoising=1), share, RUNTIME, 0)


@pytest.fixture
def batch(episode_folder: Path) -> SegmentBatch:
    stream = SegmentStream(
        EpisodeFolder(episode_folder), LENGTH, 0, age_weights=(1.0,), beyond_end=True, before_start=False
    )
    return stream.draw(16, torch.device("cpu"))


def test_a_share_is_dreamed_after_its_context(batch: SegmentBatch) -> None:
    seen = dreams()(batch)
    differs = (seen.obs != batch.obs).flatten(2).any(dim=2)
    assert torch.equal(differs[:8, CONTEXT:], batch.is_frame[:8, CONTEXT:])
    assert not differs[8:].any()
    assert not differs[:, :CONTEXT].any()
    for name in ("act", "rewards", "ends", "is_frame", "is_step"):
        assert torch.equal(getattr(seen, name), getattr(batch, name))


def test_dreams_depend_on_the_actions(batch: SegmentBatch) -> None:
    other = deepcopy(batch)
    other.act.copy_((other.act + 1) % 4)
    assert not torch.equal(dreams()(batch).obs, dreams()(other).obs)


def test_the_reward_end_model_learns_from_them_and_continues_exactly(episode_folder: Path) -> None:
    def trainer() -> RewardEndTrainer:
        torch.manual_seed(0)
        config = tiny_config("Breakout").reward_end
        assert config is not None
        cfg = RewardEndTrainingConfig(batch_size=4, transitions=6, dreamed_share=0.5, optimiser=QUICK)
        model, folder = RewardEndModel(config), EpisodeFolder(episode_folder)
        return RewardEndTrainer(model, folder, cfg, RUNTIME, 0, no_export, dreamed=dreams())

    straight, resumed = trainer(), trainer()
    for _ in range(3):
        straight.update()
    resumed.load_state_dict(deepcopy(straight.state_dict()))
    losses = [float(straight.update()["loss"]) for _ in range(3)]
    assert losses == [float(resumed.update()["loss"]) for _ in range(3)]
