"""First-person worlds against their recordings: a tiny world of two stages, trained on real files."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

from diamond_engine import load_world
from diamond_engine.actions import CsgoAction, csgo
from diamond_engine.errors import DiamondError
from diamond_engine.world_model import World
from diamond_engine.worlds import write_world
from tests.programs import assert_one_line_error, diamond_eval
from tests.training.first_person.recordings import arguments_of_training, good, write_recording
from training.evaluation.dreams import Dreaming
from training.evaluation.fidelity.footage import (
    DYNAMICS,
    HORIZON,
    UPSAMPLER,
    contexts_at,
    draw_places,
    dream_stages,
    full_res_frames,
    measure_footage,
)
from training.evaluation.response import EXPANSION, PROBES, SIDEWAYS, measure_responses, motion
from training.first_person.footage import Footage, Originals, open_footage

FRAMES = HORIZON + 8


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings; the second is of the published test split."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in (1, 3):
        write_recording(folder / f"hdf5_dm_july2021_{number}.hdf5", number, FRAMES)
    return folder


@pytest.fixture(scope="module")
def footage(recordings: Path) -> Originals:
    return Originals(recordings, Console(quiet=True))


@pytest.fixture(scope="module")
def folder(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world whose weights are not as they began, when nothing listens to the actions."""
    out, kept = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("world")
    good(*arguments_of_training(recordings, out))
    world = load_world(out)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in world.denoiser.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    write_world(kept, world)
    return kept


@pytest.fixture(scope="module")
def world(folder: Path) -> World:
    return load_world(folder)


def how(world: World) -> Dreaming:
    return Dreaming(world.config.preset("fast"), seed=3, num_envs=2, device="cpu", dtype="float32")


def test_stages_are_told_of_also_where_whole_frames_are_recorded(
    folder: Path, footage: Originals, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = load_world(folder)
    monkeypatch.setattr("diamond_engine.runtime.owner.can_record", lambda device: True)
    contexts = contexts_at(footage, draw_places(footage, 4, 1, 1, seed=0), 4, full_res_frames(world))
    how = Dreaming(world.config.preset(None), device="cpu", dtype="float32")
    drawn = next(dream_stages(world, how, contexts, np.zeros((1, 1, 51), dtype=np.uint8)))
    assert set(drawn) == {DYNAMICS, UPSAMPLER}


def test_places_are_held_out_and_have_a_context_and_a_future(footage: Footage) -> None:
    places = draw_places(footage, context=4, recordings=5, per_recording=3, seed=1)
    assert len(places) == len(set(places)) == 3
    for place in places:
        assert footage.clips[place.clip].held_out
        assert 3 <= place.frame < FRAMES - HORIZON
    with pytest.raises(DiamondError, match="is held out"):
        draw_places(footage, context=FRAMES, recordings=1, per_recording=1, seed=1)


def test_contexts_end_at_their_places(footage: Footage) -> None:
    (place,) = draw_places(footage, 4, 1, 1, seed=2)
    context = contexts_at(footage, [place], 4, 1)
    assert context.full_res is not None
    assert np.array_equal(context.full_res[0, 0], footage.full_res(place.clip, place.frame, place.frame + 1)[0])
    assert np.array_equal(context.frames[0, -1], footage.low_res(place.clip, place.frame, place.frame + 1)[0])
    assert np.array_equal(context.actions[0, -1], footage.actions(place.clip, place.frame - 1, place.frame)[0])


def test_every_stage_is_compared_with_what_followed(world: World, footage: Footage) -> None:
    places = draw_places(footage, 4, 1, 1, seed=1)
    stages = measure_footage(world, footage, places, how(world))
    assert {stage: result.real.shape[1:] for stage, result in stages.items()} == {
        DYNAMICS: (30, 56, 3),
        UPSAMPLER: (150, 280, 3),
    }
    first = places[0]
    real = footage.full_res(first.clip, first.frame + 1, first.frame + 1 + HORIZON)
    assert np.array_equal(stages[UPSAMPLER].real, real)
    assert [at.step for at in stages[DYNAMICS].steps] == [1, 5, 15, 50]
    expected = np.abs(
        np.stack([footage.low_res(p.clip, p.frame + 5, p.frame + 6)[0].astype(float) for p in places])
        - np.stack([footage.low_res(p.clip, p.frame, p.frame + 1)[0].astype(float) for p in places])
    ).mean()
    assert stages[DYNAMICS].steps[1].repeated_error == pytest.approx(expected)
    assert stages[DYNAMICS].steps[1].mean_error > 1


def test_the_same_noise_and_one_action_changed(world: World, footage: Footage) -> None:
    contexts = contexts_at(footage, draw_places(footage, 4, 1, 1, seed=1), 4, 1)
    with_actions = measure_responses(world, contexts, footage, how(world), probes=PROBES[:3]).responses
    assert [result.probe for result in with_actions] == [*PROBES[:3]]
    assert all(result.differences[10] > 0 for result in with_actions)
    deaf = deafened(world)
    for result in measure_responses(deaf, contexts, None, how(world), probes=PROBES[:3]).responses:
        assert set(result.differences.values()) == {0.0}  # a world that hears nothing dreams the same
        assert not result.motion
        assert result.real_agreement is None


def deafened(world: World) -> World:
    """The same world with the embedding of its actions at zero."""
    denoiser = type(world.denoiser)(world.denoiser.cfg)
    state = {
        name: value * 0 if name.startswith("inner_model.act_emb") else value
        for name, value in world.denoiser.state_dict().items()
    }
    denoiser.load_state_dict(state)
    return replace(world, denoiser=denoiser.eval())


def picture(shift: float = 0.0, zoom: float = 1.0) -> NDArray[np.uint8]:
    """A random texture, moved to the right and enlarged around its middle."""
    noise = np.random.default_rng(0).integers(256, size=(30, 56, 3), dtype=np.uint8)
    large = cv2.resize(noise, (280, 150), interpolation=cv2.INTER_CUBIC)
    matrix = np.array([[zoom, 0, 140 * (1 - zoom) + shift], [0, zoom, 75 * (1 - zoom)]])
    return np.asarray(cv2.warpAffine(large, matrix, (280, 150), borderMode=cv2.BORDER_REFLECT), dtype=np.uint8)


@pytest.mark.parametrize("pixels", [-8.0, 8.0])
def test_motion_to_the_side_is_percent_of_the_width(pixels: float) -> None:
    assert motion(picture(), picture(shift=pixels)).sideways == pytest.approx(100 * pixels / 280, rel=0.25)


@pytest.mark.parametrize("zoom", [0.95, 1.05])
def test_motion_apart_is_percent_of_the_distance(zoom: float) -> None:
    moved = motion(picture(), picture(zoom=zoom))
    assert moved.expansion == pytest.approx(100 * (zoom - 1), rel=0.35)
    assert abs(moved.sideways) < 0.3


def test_the_motion_of_real_recordings_is_that_of_their_actions(world: World, tmp_path: Path) -> None:
    """A recording in which the picture moves to the left while the mouse turns right."""
    with h5py.File(tmp_path / "hdf5_dm_july2021_3.hdf5", "w") as file:
        for i in range(FRAMES):
            action = csgo.encode(CsgoAction(mouse_x=20 if i < 20 else -20))
            file[f"frame_{i}_x"] = picture(shift=-3.0 * (i if i < 20 else 40 - i))
            file[f"frame_{i}_y"] = action.astype(np.float64)
            file[f"frame_{i}_xaux"] = np.zeros(54)
            file[f"frame_{i}_helperarr"] = np.zeros(2)
    footage = open_footage(tmp_path, Console(quiet=True))
    contexts = contexts_at(footage, draw_places(footage, 4, 1, 1, seed=1), 4, 1)
    probes = [probe for probe in PROBES if probe.name in ("turn right slowly", "turn left slowly", "forward")]
    measured = measure_responses(world, contexts, footage, how(world), probes=probes)
    results = {result.probe.name: result for result in measured.responses}
    right, left = (results[f"turn {side} slowly"] for side in ("right", "left"))
    assert (right.probe.measure, results["forward"].probe.measure) == (SIDEWAYS, EXPANSION)
    assert right.real_motion is not None
    assert right.real_motion < 0 < (left.real_motion or 0)
    assert right.real_agreement == left.real_agreement == 1
    assert results["forward"].real_pairs == 0


def shape_of(path: Path) -> tuple[int, ...]:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture.shape


def test_the_commands_tell_and_report(folder: Path, recordings: Path, tmp_path: Path) -> None:
    options = ["--data", recordings, "--seed", 1, "--preset", "fast", "--device", "cpu", "--dtype", "float32"]
    more = ["--contexts-per-episode", 1, "--report", "f.json", "--strip", "s.png"]
    result = diamond_eval("fidelity", folder, *options, *more, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "f.json").read_text())
    assert facts["contexts"] == 1
    assert facts["upsampler_psnr_50"] > 0
    assert facts["dynamics_repeated_error_1"] > 0
    assert shape_of(tmp_path / "s.png")[1] > 10 * 280
    more = ["--contexts", 1, "--report", "r.json", "--picture", "r.png"]
    result = diamond_eval("response", folder, *options, *more, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "r.json").read_text())
    assert facts["turn_right_fast_difference_10"] > 0
    assert 0 <= facts["turn_right_fast_right_way"] <= 1
    assert "shoot" in result.stdout
    assert shape_of(tmp_path / "r.png")[0] > 10 * 150
    assert_one_line_error(diamond_eval("fidelity", folder, folder=tmp_path), 2, "give them with --data")
    result = diamond_eval("response", "atari/Breakout", "--data", recordings, folder=tmp_path)
    assert_one_line_error(result, 2, "--data is for first-person worlds")


@pytest.mark.slow
def test_the_bundled_doom_turns_the_way_one_turns() -> None:
    world = load_world("doom")
    assert world.contexts is not None
    turns = [probe for probe in PROBES if probe.name in ("turn left fast", "turn right fast")]
    dreaming = Dreaming(world.config.preset(None), seed=1)
    measured = measure_responses(world, world.contexts.take(np.arange(4)), None, dreaming, probes=turns)
    for result in measured.responses:
        assert result.agreement is not None
        assert result.agreement >= 0.75, result
        assert result.differences[10] > 4
