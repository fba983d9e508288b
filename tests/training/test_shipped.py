"""The scripts that make first-person worlds, on tiny networks and recordings that are there already."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diamond_engine import load_world
from tests.training.first_person.recordings import NETWORKS, write_recording

SCRIPTS = Path(__file__).parents[2] / "training" / "shipped"


def recordings(out: Path) -> None:
    """Ten recordings, as the first stage would have left them."""
    for number in range(10):
        write_recording(out / "recordings" / f"hdf5_doom_{number}.hdf5", number, 60)
    (out / "finished").mkdir()
    (out / "finished" / "recordings").touch()


def make(out: Path, script: str = "doom.sh", **more: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "SETTINGS": " ".join(f"--set {setting}" for setting in [*NETWORKS, "contexts=2"]),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DYNAMICS_UPDATES": "3",
        "DYNAMICS_FINISHING": "2",
        "UPSAMPLER_UPDATES": "2",
        "UPSAMPLER_FINISHING": "1",
        "FINISHING_BATCH": "2",
        "EVALUATED": "1",
        "DEVICE": "cpu",
        "WORKERS": "1",
        "OMP_NUM_THREADS": "1",
    }
    environment = {**os.environ, **settings, "SIZE": "small", "OUT": str(out), **more}
    return subprocess.run(["bash", str(SCRIPTS / script)], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_script_goes_from_recordings_to_a_measured_world(tmp_path: Path) -> None:
    recordings(tmp_path)
    spent = make(tmp_path, MINUTES="1", SAVING="0.95")
    assert spent.returncode == 0, spent.stderr
    assert "minutes are over in stage 'prepared'" in spent.stdout
    done = make(tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    world = load_world(tmp_path / "whole")
    assert (world.config.name, world.config.frame_rate, world.config.default_preset) == ("doom", 17.5, "balanced")
    origin = world.config.provenance["denoiser"]
    assert (origin["updates"], origin["init"]["updates"]) == (2, 3)
    assert world.config.provenance["upsampler"]["training"]["autoregressive_steps"] == 1
    assert json.loads((tmp_path / "fidelity.json").read_text())["contexts"] == 4
    assert "forward_difference_10" in json.loads((tmp_path / "response.json").read_text())
    again = make(tmp_path)
    assert (again.returncode, again.stdout.count("==")) == (0, 0)
    changed = make(tmp_path, UPSAMPLER_FINISHING="2", MINUTES="1", SAVING="0.95")
    assert "minutes are over in stage 'finishing-upsampler'" in changed.stdout
    assert not list((tmp_path / "finished").glob("last-*"))


@pytest.mark.slow
def test_the_scenario_s_script_makes_a_world_about_the_newest_frame(tmp_path: Path) -> None:
    recordings(tmp_path)
    done = make(tmp_path, "health-gathering.sh")
    assert done.returncode == 0, done.stderr + done.stdout
    world = load_world(tmp_path / "whole")
    assert (world.config.name, world.config.frame_rate) == ("health-gathering", 17.5)
    assert world.config.denoiser.about_newest
    assert world.config.provenance["denoiser"]["training"]["balanced"]
    assert {"fidelity.json", "response.json", "play.json"} <= {path.name for path in tmp_path.iterdir()}


def test_minutes_that_are_none_are_refused(tmp_path: Path) -> None:
    refused = make(tmp_path / "out", MINUTES="soon")
    assert (refused.returncode, refused.stderr) == (2, "MINUTES must be a number above 0, not soon\n")
    assert not (tmp_path / "out").exists()
