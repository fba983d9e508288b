"""Bundled worlds, their checksums, and the list of all worlds."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diamond_engine import load_agent, load_world
from diamond_engine.errors import DiamondError
from diamond_engine.games import ATARI_GAMES
from weights import (
    UnknownWorldError,
    WeightsError,
    bundle,
    bundled_folder,
    catalogue,
    check_published,
    locate,
    write_checksums,
)
from weights.checksums import CHECKSUMS, check_checksums
from weights.manifest import MANIFEST


@pytest.fixture
def bundled(world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose only bundled world is the tiny Breakout."""
    monkeypatch.setattr(bundle, "BUNDLED", tmp_path)
    folder = tmp_path / "atari" / "Breakout"
    shutil.copytree(world_folder, folder)
    write_checksums(folder)
    return folder


def test_the_manifest_has_the_26_games_and_csgo() -> None:
    assert set(MANIFEST) == {"csgo", *(f"atari/{game}" for game in ATARI_GAMES)}


def test_csgo_was_published_with_seven_start_contexts() -> None:
    csgo = MANIFEST["csgo"]
    names = ("low_res", "full_res", "act", "next_act")
    assert {file.path for file in csgo.spawns} == {f"csgo/spawn/{k}/{name}.npy" for k in range(7) for name in names}
    assert csgo.files[0] == csgo.checkpoint
    assert 1_526_844_223 < csgo.size_bytes < 1_532_000_000


def test_a_file_of_another_size_is_another_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "csgo.pt").write_bytes(b"trained by a person")
    assert not check_published("csgo", tmp_path / "csgo.pt")


def test_a_bundled_world_is_found_before_the_hub(bundled: Path) -> None:
    assert bundled_folder("atari/Breakout") == locate("atari/Breakout") == bundled
    assert bundled_folder("atari/Pong") is None
    assert load_world("atari/breakout").config.game == "Breakout"
    assert load_agent("atari/Breakout", device="cpu").num_actions == 4


def test_the_catalogue_says_where_each_world_comes_from(bundled: Path) -> None:
    entries = {entry.name: entry for entry in catalogue()}
    assert set(entries) == set(MANIFEST)
    breakout = entries["atari/Breakout"]
    assert (breakout.origin, breakout.path, breakout.licence) == ("bundled", bundled, "not stated")
    assert breakout.size_bytes == sum(path.stat().st_size for path in bundled.iterdir())


def test_the_catalogue_repeats_the_licence_of_a_bundled_world(bundled: Path) -> None:
    config = bundled / "world.yaml"
    config.write_text(config.read_text().replace("provenance: {}", "provenance: {licence: MIT}"))
    assert next(entry.licence for entry in catalogue() if entry.name == "atari/Breakout") == "MIT"


def test_an_altered_bundled_file_is_refused(bundled: Path) -> None:
    path = bundled / "denoiser.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DiamondError, match=r"denoiser\.safetensors was altered .*: reinstall"):
        load_world("atari/Breakout")


def test_missing_and_additional_bundled_files_are_refused(bundled: Path) -> None:
    (bundled / "more.safetensors").touch()
    with pytest.raises(WeightsError, match=r"more\.safetensors is not listed"):
        locate("atari/Breakout")
    (bundled / "more.safetensors").unlink()
    (bundled / "contexts.npz").unlink()
    with pytest.raises(WeightsError, match=r"contexts\.npz is missing"):
        locate("atari/Breakout")
    (bundled / CHECKSUMS).write_text("no checksums\nat all\nhere")
    with pytest.raises(WeightsError, match=f"{CHECKSUMS} is missing or damaged"):
        locate("atari/Breakout")


def test_checksums_that_cannot_be_written_are_one_line_and_leave_the_old_ones(bundled: Path) -> None:
    before = (bundled / CHECKSUMS).read_bytes()
    (bundled / f".{CHECKSUMS}.part").mkdir()
    with pytest.raises(WeightsError, match=f"cannot write .*{CHECKSUMS}: "):
        write_checksums(bundled)
    assert (bundled / CHECKSUMS).read_bytes() == before


def test_checksums_are_those_of_sha256sum(bundled: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", CHECKSUMS], cwd=bundled, check=True, capture_output=True)


def test_checksums_command(world_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(world_folder, tmp_path / "world")
    subprocess.run([sys.executable, "-m", "weights", folder], check=True, capture_output=True)
    check_checksums(folder)
    refused = subprocess.run([sys.executable, "-m", "weights", tmp_path], check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "holds no world.yaml" in refused.stderr


def test_a_world_nobody_published() -> None:
    with pytest.raises(UnknownWorldError, match="diamond-play list"):
        locate("atari/Tetris")


def test_worlds_that_are_really_bundled_are_whole() -> None:
    for folder in bundle.bundled_worlds().values():
        check_checksums(folder)
        assert load_world(folder).contexts is not None
