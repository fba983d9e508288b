"""The script that makes the shipped Doom world, on tiny networks and recordings that are there already."""

import json
import os
import subprocess
import sys
from pathlib import Path

from diamond_engine import load_world
from tests.training.first_person.recordings import TINY, write_recording

SCRIPT = Path(__file__).parents[2] / "training" / "shipped" / "doom.sh"


def make(out: Path, **more: str) -> subprocess.CompletedProcess[str]:
    networks = [setting for setting in TINY if setting.startswith("networks")]
    settings = {
        "SETTINGS": " ".join(f"--set {setting}" for setting in [*networks, "spawns=2"]),
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
    return subprocess.run(["bash", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)


def test_the_script_goes_from_recordings_to_a_measured_world(tmp_path: Path) -> None:
    for number in range(10):
        write_recording(tmp_path / "recordings" / f"hdf5_doom_{number}.hdf5", number, 60)
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished" / "recordings").touch()
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


def test_minutes_that_are_none_are_refused(tmp_path: Path) -> None:
    refused = make(tmp_path / "out", MINUTES="soon")
    assert (refused.returncode, refused.stderr) == (2, "MINUTES must be a number above 0, not soon\n")
    assert not (tmp_path / "out").exists()
