"""The small denoiser's settings in first-person stages: its noise levels, their balance, segments by priority."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from diamond_engine import WorldModelEnv, load_world
from tests.training.first_person.recordings import arguments_of_training, good, write_recording
from tests.training.trainers import metrics_of, run
from training.data.priorities import Priorities
from training.first_person.footage import Originals, Segments, TrainedOn

LENGTH, CONTEXT = 6, 4
SMALL = [
    "networks.dynamics.about_newest=true",
    "networks.dynamics.noise_previous_obs=false",
    "networks.dynamics.inner_model.noise_cond=false",
    "networks.dynamics.inner_model.patch_size=2",
    "dynamics.sampler_share=1",
    "dynamics.first_share=0.6",
    "dynamics.balanced=true",
    "dynamics.priority_share=0.5",
]


def small(data: Path, out: Path, *settings: str) -> list[str | Path]:
    chosen = [part for setting in (*SMALL, *settings) for part in ("--set", setting)]
    return arguments_of_training(data, out, "--components", "dynamics", *chosen)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two to train on and, by its number, one that is held out."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, frames in ((1, 14), (3, 14), (4, 9)):
        write_recording(folder / f"hdf5_dm_july2021_{number}.hdf5", number, frames)
    return folder


@pytest.fixture
def footage(recordings: Path) -> Originals:
    return Originals(recordings, Console(quiet=True))


@pytest.fixture(scope="module")
def straight(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three updates, undisturbed."""
    out = tmp_path_factory.mktemp("straight")
    good(*small(recordings, out))
    return out


def test_stopping_in_between_changes_nothing(recordings: Path, straight: Path, tmp_path: Path) -> None:
    good(*small(recordings, tmp_path, "dynamics.updates=1"))
    good(*small(recordings, tmp_path))
    assert metrics_of(tmp_path / "dynamics")[-1] == metrics_of(straight / "dynamics")[-1]


def test_the_world_is_drawn_without_noise_in_a_context_that_never_had_any(straight: Path) -> None:
    world = load_world(straight)
    assert {preset.dynamics.s_cond for preset in world.config.presets.values()} == {0.0}
    assert world.config.denoiser.about_newest
    env = WorldModelEnv(world, num_envs=1, device="cpu", seed=0)
    env.reset()
    assert env.step(torch.zeros(1, 51, dtype=torch.uint8))[0].shape == (1, 3, 30, 56)


def test_frames_of_larger_errors_are_drawn_more_often_and_lie_inside(footage: Originals) -> None:
    clips = TrainedOn(footage, LENGTH)
    priorities = Priorities(clips, CONTEXT)
    everywhere = np.array([(clip, start) for clip, frames in enumerate((14, 9)) for start in range(frames - CONTEXT)])
    errors = np.full(len(everywhere), 1e-6, np.float32)
    errors[3] = 1e6  # the frame after the context that begins at frame 3 of the first
    priorities.update(everywhere, errors)
    segments = Segments(footage, LENGTH, 200, 1, full_res=False, priorities=priorities, priority_share=0.5)
    segments.draw(torch.device("cpu"))
    first = (segments.places == (0, 3)).all(axis=1).mean()
    assert 0.2 < first < 0.6  # of 13 places; those that nobody looked at count as the mean
    assert (segments.places[:, 1] >= 0).all()
    lengths = np.array([14, 9])[segments.places[:, 0]]
    assert (segments.places[:, 1] + LENGTH <= lengths).all()


def test_what_is_drawn_is_where_it_says(footage: Originals) -> None:
    segments = Segments(footage, LENGTH, 5, 1, full_res=False, priorities=None)
    drawn, indices = segments.draw(torch.device("cpu")), TrainedOn(footage, LENGTH).indices
    for obs, (clip, start) in zip(drawn.obs, segments.places, strict=True):
        frames = torch.from_numpy(footage.low_res(indices[clip], start, start + LENGTH)).permute(0, 3, 1, 2)
        assert torch.allclose(obs, frames.float() / 127.5 - 1, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("dynamics.first_share=1.5", "dynamics.first_share must be from 0 to 1, not 1.5"),
        ("dynamics.sampler_share=0", "dynamics.priority_share needs a share of noise levels of the sampler"),
        ("upsampler.sampler_share=0.5", "upsampler.sampler_share must be 0"),
        ("networks.dynamics.inner_model.patch_size=4", "patches of 4x4 do not fill frames of 56x30"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(setting: str, message: str, recordings: Path, tmp_path: Path) -> None:
    code, said = run(*small(recordings, tmp_path / "out", setting))
    assert code == 2
    assert message in said.splitlines()[-1]
    assert "Traceback" not in said
