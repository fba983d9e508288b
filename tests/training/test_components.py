"""The denoiser and the reward/end model learn from real episodes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine.episodes import EpisodeFolder
from tests.training.runs import MakeTrainer, ddpm_trainer, denoiser_trainer, reward_end_trainer
from training.data import SegmentStream
from training.reward_end import transitions


@pytest.fixture
def few_frames(tmp_path: Path, episode_folder: Path) -> Path:
    """One short episode: what a tiny network can learn by heart."""
    source = EpisodeFolder(episode_folder)
    EpisodeFolder(tmp_path).append(source[int(np.argmin(source.lengths))])
    return tmp_path


@pytest.mark.parametrize("make", [denoiser_trainer, ddpm_trainer, reward_end_trainer])
def test_loss_falls_on_a_few_frames(make: MakeTrainer, few_frames: Path) -> None:
    trainer = make(few_frames)
    losses = [float(trainer.update()["loss"]) for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:3])


def test_transitions_lead_to_the_final_frame_at_an_end(episode_folder: Path) -> None:
    folder = EpisodeFolder(episode_folder)
    stream = SegmentStream(folder, 20, seed=0, age_weights=(1.0,), beyond_end=True)
    finals = {folder[i].final_frame.tobytes() for i in range(len(folder))}
    seen = 0
    for _ in range(10):
        batch = transitions(stream.draw(8, torch.device("cpu")))
        assert batch.obs.shape == batch.next_obs.shape == (8, 19, 3, 64, 64)
        assert torch.equal(batch.obs[:, 1:], batch.next_obs[:, :-1])
        ended = batch.ends & batch.mask
        for image in batch.next_obs[ended]:
            frame = image.add(1).mul(127.5).round().byte().movedim(0, -1).contiguous().numpy()
            assert frame.tobytes() in finals
            seen += 1
        assert torch.equal(batch.ends, ended)
    assert seen > 0
