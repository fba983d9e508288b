"""The published CS:GO world: its architecture, a small stub for its checkpoint, and what can be wrong with it."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diamond_engine import World, WorldModelEnv, cache, csgo, load_world
from diamond_engine.cache import cache_folder
from diamond_engine.checkpoints import without_weights
from diamond_engine.csgo import csgo_world_config
from diamond_engine.diffusion import Denoiser, SamplerConfig
from diamond_engine.errors import DiamondError
from tests.conftest import first_person_contexts, make_first_person_world, tiny_first_person_config
from tests.diamond_engine.published import write_published_csgo
from tests.weights.hub_server import LocalHub, run_python
from weights import manifest, sources
from weights.checksums import sha256

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny world laid out as on the hub, and a cache of its own."""
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(csgo, "csgo_world_config", tiny_first_person_config)
    write_published_csgo(tmp_path / "hub", make_first_person_world())
    return tmp_path / "hub"


@pytest.fixture
def checkpoint(published: Path) -> Path:
    return published / "csgo" / "model" / "csgo.pt"


def load(weights: Path, dtype: str = "float32") -> tuple[World, list[str]]:
    """The world and the notices given."""
    notices: list[str] = []
    return load_world("csgo", weights=weights, dtype=dtype, notice=notices.append), notices


def dream(world: World, dtype: str = "float32") -> torch.Tensor:
    env = WorldModelEnv(world, 1, device="cpu", dtype=dtype, preset="fast", compile=False)  # nothing for a new cache
    env.reset(seed=0, options={"context": 0})
    return env.step(torch.zeros(1, 51))[0]


def test_our_architecture_has_the_published_keys_and_shapes() -> None:
    config = csgo_world_config()
    assert config.upsampler is not None
    with without_weights():
        networks = {"denoiser": Denoiser(config.denoiser), "upsampler": Denoiser(config.upsampler)}
    shapes = {
        f"{name}.{key}": list(value.shape) for name, net in networks.items() for key, value in net.state_dict().items()
    }
    assert shapes == json.loads((DATA / "checkpoint_csgo.json").read_text())


@pytest.mark.parametrize("name", ["fast", "quality"])
def test_presets_are_the_published_ones(name: str) -> None:
    samplers = json.loads((DATA / "reference" / "csgo_meta.json").read_text())
    preset = csgo_world_config().presets[name]
    assert preset.dynamics == SamplerConfig(**samplers[f"csgo_{name}_dynamics"])
    assert preset.upsampler == SamplerConfig(**samplers[f"csgo_{name}_upsampler"])


@pytest.mark.parametrize("given", [".", "csgo", "csgo/model", "csgo/model/csgo.pt"])
def test_every_way_to_give_what_was_downloaded(published: Path, given: str) -> None:
    world, notices = load(published / given)
    assert torch.equal(dream(world), dream(make_first_person_world()))
    assert "not the published checkpoint" in notices[0]
    assert "converting" in notices[1]


def test_start_contexts_as_published(published: Path) -> None:
    """The newest full-resolution frame, and act[-1] before next_act."""
    contexts, source = load(published)[0].contexts, first_person_contexts()
    assert contexts is not None
    assert contexts.full_res is not None
    assert contexts.recorded is not None
    for name, array in source.arrays().items():
        np.testing.assert_array_equal(contexts.arrays()[name], array)
    folder = published / "csgo" / "spawn" / "1"
    np.testing.assert_array_equal(contexts.recorded[1, 0], np.load(folder / "act.npy")[-1])
    np.testing.assert_array_equal(contexts.recorded[1, 1:], np.load(folder / "next_act.npy"))
    np.testing.assert_array_equal(contexts.full_res[1, 0], np.load(folder / "full_res.npy")[-1].transpose(1, 2, 0))


def test_the_second_start_reads_only_the_conversion(published: Path, checkpoint: Path) -> None:
    first, _ = load(published)
    times = checkpoint.stat()
    checkpoint.write_bytes(bytes(times.st_size))
    os.utime(checkpoint, ns=(times.st_atime_ns, times.st_mtime_ns))
    second, notices = load(published)
    assert notices == []
    assert torch.equal(dream(second), dream(first))


def test_another_checkpoint_is_converted_anew(published: Path, checkpoint: Path) -> None:
    load(published)
    state = torch.load(checkpoint, weights_only=True)
    torch.save({key: value * 2 for key, value in state.items()}, checkpoint)
    world, _ = load(published)
    assert torch.equal(world.denoiser.inner_model.conv_in.weight, state["denoiser.inner_model.conv_in.weight"] * 2)


def test_bfloat16_is_half_as_large_and_dreams_the_same(published: Path) -> None:
    (exact, _), (half, _) = load(published, "float32"), load(published, "bfloat16")
    sizes = {folder.name.partition("-")[2]: conversion_size(folder) for folder in (cache_folder() / "csgo").iterdir()}
    assert sizes["bfloat16"] < 0.7 * sizes["float32"]
    assert half.denoiser.inner_model.conv_in.weight.dtype == torch.bfloat16
    assert half.denoiser.inner_model.noise_emb.weight.dtype == torch.float32
    assert torch.equal(dream(exact, "bfloat16"), dream(half, "bfloat16"))


def conversion_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink])
def test_a_damaged_conversion_is_made_again(published: Path, damage: Callable[[Path], object]) -> None:
    load(published)
    path = next(cache_folder().rglob("upsampler.safetensors"))
    whole = path.read_bytes()
    damage(path)
    _, notices = load(published)
    assert "made again" in notices[0]
    assert path.read_bytes() == whole


def test_what_a_killed_conversion_left_is_removed(published: Path) -> None:
    load(published)
    folder = next(cache_folder().rglob("world.yaml")).parent
    (folder / "world.yaml").unlink()
    left, under_way = (folder / f".denoiser.safetensors.{process}.part" for process in (1, 2))
    for path in (left, under_way):
        path.touch()
    os.utime(left, (0, 0))
    load(published)
    assert (left.exists(), under_way.exists()) == (False, True)


def test_a_cache_that_cannot_be_written(published: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path / "file"))
    with pytest.raises(DiamondError, match=r"cannot write .* name another folder in DIAMOND_CACHE"):
        load(published)


def test_the_cache_is_where_the_platform_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DIAMOND_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for platform, home in (("linux", tmp_path), ("darwin", Path.home() / "Library" / "Caches")):
        monkeypatch.setattr(cache.sys, "platform", platform)
        assert cache_folder() == home / "diamond-engine"


def test_a_checkpoint_alone_has_no_start_contexts(published: Path, checkpoint: Path) -> None:
    shutil.rmtree(published / "csgo" / "spawn")
    world, notices = load(checkpoint)
    assert world.contexts is None
    assert "put the folder csgo/spawn of the hub beside" in notices[0]


def test_a_truncated_checkpoint(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-5000])
    with pytest.raises(DiamondError, match=r"truncated or damaged\): download it again"):
        load(checkpoint)


def test_an_altered_checkpoint(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = replace(manifest.CSGO.checkpoint, size_bytes=checkpoint.stat().st_size, sha256="0" * 64)
    monkeypatch.setitem(sources.MANIFEST, "csgo", replace(manifest.CSGO, checkpoint=stub))
    with pytest.raises(DiamondError, match=r"csgo\.pt was altered or damaged .* get https://huggingface\.co/.* again"):
        load(checkpoint)


def test_a_checkpoint_of_another_architecture(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csgo, "csgo_world_config", csgo_world_config)
    with pytest.raises(DiamondError, match=r"denoiser of .*csgo\.pt is for another architecture"):
        load(checkpoint)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("1/act", np.zeros((4, 50), dtype=np.uint8), r"1/act\.npy holds uint8 \(4, 50\), expected uint8 \(4, 51\)"),
        ("0/act", np.zeros((3, 51), dtype=np.uint8), r"1/act\.npy holds uint8 \(4, 51\), expected uint8 \(3, 51\)"),
        ("1/low_res", np.zeros((4, 3, 30, 56)), r"1/low_res\.npy holds float64"),
        ("1/full_res", np.zeros((4, 3, 150), dtype=np.uint8), r"1/full_res\.npy holds uint8 \(4, 3, 150\)"),
        ("1/next_act", np.array([None]), r"1/next_act\.npy is not a readable array"),
        ("*/low_res", np.zeros((4, 3, 32, 56), dtype=np.uint8), r"needs frames uint8 \(N, 4, 30, 56, 3\), found uint8"),
        ("*/full_res", np.zeros((1, 3, 75, 140), dtype=np.uint8), r"needs full_res uint8 \(N, 1, 150, 280, 3\)"),
        ("*/act", np.zeros((5, 51), dtype=np.uint8), r"no valid start contexts: low_res .*, act \(2, 5, 51\)"),
        ("*/next_act", np.full((12, 51), 2, dtype=np.uint8), "zeros and ones"),
    ],
)
def test_start_contexts_of_wrong_shapes(published: Path, name: str, array: np.ndarray, message: str) -> None:
    for path in (published / "csgo" / "spawn").glob(f"{name}.npy"):
        np.save(path, array)
    with pytest.raises(DiamondError, match=message) as error:
        load(published)
    assert "\n" not in str(error.value)


def test_start_contexts_that_are_missing_or_truncated(published: Path) -> None:
    path = published / "csgo" / "spawn" / "1" / "full_res.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DiamondError, match=r"full_res\.npy is not a readable array \(truncated or damaged\)"):
        load(published)
    path.unlink()
    with pytest.raises(DiamondError, match=r"missing .*1/full_res\.npy"):
        load(published)
    shutil.rmtree(path.parents[1])
    path.parents[1].mkdir()
    with pytest.raises(DiamondError, match="needs the folders 0, 1, …"):
        load(published)


def test_paths_that_hold_no_weights(tmp_path: Path) -> None:
    with pytest.raises(DiamondError, match=r"it has neither csgo/model/csgo\.pt nor world\.yaml"):
        load(tmp_path)
    with pytest.raises(DiamondError, match="no such weights"):
        load(tmp_path / "absent")


FROM_HUB = """
import hashlib, json
from dataclasses import replace
from pathlib import Path
from diamond_engine import csgo, load_world
from diamond_engine.errors import DiamondError
from tests.conftest import tiny_first_person_config
from weights import manifest
csgo.csgo_world_config = tiny_first_person_config
stub = replace(manifest.CSGO.checkpoint, sha256="SHA256")
manifest.MANIFEST["csgo"] = manifest.Published(stub, manifest.CSGO.spawns[:8])
try:
    world = load_world("csgo")
    print(json.dumps([len(world.contexts), world.denoiser.inner_model.conv_in.weight.sum().item()]))
except DiamondError as error:
    print(error)
"""


@pytest.mark.slow
def test_is_downloaded_once_announced_and_then_plays_offline(published: Path, checkpoint: Path, tmp_path: Path) -> None:
    code, cache = FROM_HUB.replace("SHA256", sha256(checkpoint)), tmp_path / "downloads"
    environment = {"DIAMOND_CACHE": str(tmp_path / "converted"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    offline = run_python(code, cache, HF_HUB_OFFLINE="1", **environment)
    with LocalHub(published) as hub:
        online = run_python(code, cache, HF_ENDPOINT=hub.endpoint, **environment)
    shutil.rmtree(cache)
    again = run_python(code, cache, HF_HUB_OFFLINE="1", **environment)
    message = offline.stdout.strip()
    assert not offline.stderr
    assert "\n" not in message
    for part in ("HF_HUB_OFFLINE is set", f"{manifest.REVISION}/csgo/model/csgo.pt (1527 MB)", "csgo/spawn"):
        assert part in message
    assert message.endswith("works offline: 'diamond-play atari Breakout', 'diamond-play doom'")
    notices = online.stderr.splitlines()
    assert "1.5 GB" in notices[0]
    assert "licence: none stated by the hub repository" in notices[0]
    assert "converting" in notices[1]
    assert len(hub.downloads) == 9
    assert json.loads(online.stdout)[0] == 2
    assert again.stdout == online.stdout
    assert not again.stderr


@pytest.mark.slow
def test_a_download_that_is_not_the_published_file_is_refused(published: Path, tmp_path: Path) -> None:
    with LocalHub(published) as hub:
        refused = run_python(
            FROM_HUB.replace("SHA256", "0" * 64),
            tmp_path / "downloads",
            HF_ENDPOINT=hub.endpoint,
            DIAMOND_CACHE=str(tmp_path / "converted"),
        )
    assert "arrived damaged (its SHA-256 is not the published one)" in refused.stdout
    assert not (tmp_path / "converted" / "csgo").exists()
