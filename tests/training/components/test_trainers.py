"""The denoiser and the reward/end model learn from real episodes."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diamond_engine.episodes import EpisodeFolder
from diamond_engine.errors import UsageError
from tests.conftest import tiny_config
from tests.training.trainers import (
    RUNTIME,
    MakeTrainer,
    ddpm_trainer,
    denoiser_trainer,
    focused_trainer,
    no_export,
    reward_end_trainer,
    tokenizer_trainer,
    transformer_trainer,
)
from training.components.denoiser import DenoiserTrainer, DenoiserTrainingConfig, check_fits
from training.components.reward_end import transitions
from training.data.segments import SegmentStream


@pytest.fixture
def few_frames(tmp_path: Path, episode_folder: Path) -> Path:
    """One short episode: what a tiny network can learn by heart."""
    source = EpisodeFolder(episode_folder)
    EpisodeFolder(tmp_path).append(source[int(np.argmin(source.lengths))])
    return tmp_path


@pytest.mark.parametrize("make", [denoiser_trainer, focused_trainer, ddpm_trainer, reward_end_trainer])
def test_loss_falls_on_a_few_frames(make: MakeTrainer, few_frames: Path) -> None:
    trainer = make(few_frames)
    losses = [float(trainer.update()["loss"]) for _ in range(40)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:3])


def test_focused_training_continues_exactly(episode_folder: Path) -> None:
    straight, resumed = focused_trainer(episode_folder), focused_trainer(episode_folder)
    for _ in range(6):
        straight.update()
    resumed.load_state_dict(deepcopy(straight.state_dict()))
    losses = [float(straight.update()["loss"]) for _ in range(6)]
    assert losses == [float(resumed.update()["loss"]) for _ in range(6)]
    one, other = straight.state_dict(), resumed.state_dict()
    assert torch.equal(one["priorities"]["errors"].nan_to_num(-1), other["priorities"]["errors"].nan_to_num(-1))
    assert not one["priorities"]["errors"].isnan().all()


def test_a_scan_finds_every_error_and_teaches_nothing(few_frames: Path) -> None:
    trainer = focused_trainer(few_frames)
    scanning, plain = (
        DenoiserTrainer(deepcopy(trainer.denoiser), EpisodeFolder(few_frames), cfg, RUNTIME, 0, no_export)
        for cfg in (replace(trainer.cfg, scan=1000, whole_share=0.0), replace(trainer.cfg, scan=0, whole_share=0.0))
    )
    for one in (scanning, plain):
        one.update()
    errors = [one.state_dict()["priorities"]["errors"] for one in (scanning, plain)]
    assert errors[0][4:].isfinite().all()  # the first four are context alone
    assert errors[1].isnan().sum() > errors[0].isnan().sum()
    weights = zip(scanning.denoiser.parameters(), plain.denoiser.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


@pytest.mark.parametrize("make", [tokenizer_trainer, transformer_trainer])
def test_iris_learns_and_continues_exactly(make: MakeTrainer, episode_folder: Path) -> None:
    straight, resumed = make(episode_folder), make(episode_folder)
    first = [float(straight.update()["loss"]) for _ in range(5)]
    resumed.load_state_dict(deepcopy(straight.state_dict()))
    rest = [float(straight.update()["loss"]) for _ in range(5)]
    torch.rand(3)  # what else draws meanwhile does not count
    assert rest == [float(resumed.update()["loss"]) for _ in range(5)]
    assert np.mean(rest[-3:]) < np.mean(first[:3])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler_share": 0.0}, "needs a share of noise levels"),
        ({"crop_size": 30}, "multiple of 8"),
        ({"priority_share": 0.0, "scan": 8}, "for drawing segments by priority"),
    ],
    ids=["priorities without levels", "crops off the grid", "a scan without priorities"],
)
def test_settings_that_contradict_each_other(changes: dict[str, Any], said: str) -> None:
    cfg = DenoiserTrainingConfig(autoregressive_steps=0, sampler_share=0.8, priority_share=0.5, crop_size=32)
    tiny = tiny_config("Breakout").denoiser
    patched = replace(tiny, inner_model=replace(tiny.inner_model, patch_size=2))
    check_fits(cfg, patched, parts=1)
    with pytest.raises(UsageError, match=said):
        check_fits(replace(cfg, **changes), patched, parts=1)
    with pytest.raises(UsageError, match="one process"):
        check_fits(cfg, patched, parts=2)


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
