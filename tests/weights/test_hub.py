"""Downloads from a local hub, by real HTTP in processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.weights.hub_server import LocalHub, run_python

CHECKPOINT = "atari_100k/models/PrivateEye.pt"
LOCATE = """
from weights import WeightsError, catalogue, locate
try:
    print(locate("atari/PrivateEye", hub_only=True))
except WeightsError as error:
    print("error:", error)
print(next(entry.origin for entry in catalogue() if entry.name == "atari/PrivateEye"))
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    """A hub that has PrivateEye."""
    file = tmp_path / "repository" / CHECKPOINT
    file.parent.mkdir(parents=True)
    file.write_bytes(b"published weights of PrivateEye" * 1000)
    with LocalHub(tmp_path / "repository") as hub:
        yield hub


def test_downloads_once_and_then_works_offline(hub: LocalHub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = run_python(LOCATE, cache, HF_ENDPOINT=hub.endpoint, TQDM_POSITION="-1")  # a bar without a terminal
    offline = run_python(LOCATE, cache, HF_HUB_OFFLINE="1")
    path = Path(first.stdout.splitlines()[0])
    assert path.read_bytes() == (hub.folder / CHECKPOINT).read_bytes()
    assert path.is_relative_to(cache)
    assert "PrivateEye.pt" in first.stderr
    assert "100%" in first.stderr
    assert first.stdout.splitlines()[1] == "cached"
    assert offline.stdout == first.stdout
    assert hub.downloads == [CHECKPOINT]


def test_a_file_damaged_on_the_way_is_refused_and_fetched_again(hub: LocalHub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    hub.damaged.add(CHECKPOINT)
    refused = run_python(LOCATE, cache, HF_ENDPOINT=hub.endpoint)
    hub.damaged.clear()
    good = run_python(LOCATE, cache, HF_ENDPOINT=hub.endpoint)
    assert "arrived damaged" in refused.stdout
    assert Path(good.stdout.splitlines()[0]).read_bytes() == (hub.folder / CHECKPOINT).read_bytes()


def test_a_file_damaged_in_the_cache_is_fetched_again(hub: LocalHub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = Path(run_python(LOCATE, cache, HF_ENDPOINT=hub.endpoint).stdout.splitlines()[0])
    path.resolve().write_bytes(b"rotten")
    offline = run_python(LOCATE, cache, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in offline.stdout
    again = run_python(LOCATE, cache, HF_ENDPOINT=hub.endpoint)
    assert Path(again.stdout.splitlines()[0]).read_bytes() == (hub.folder / CHECKPOINT).read_bytes()


def test_without_links_in_the_cache_a_damaged_file_is_not_kept(hub: LocalHub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_SYMLINKS": "1"}
    hub.damaged.add(CHECKPOINT)
    refused = run_python(LOCATE, cache, **environment)
    hub.damaged.clear()
    good = run_python(LOCATE, cache, **environment)
    assert "arrived damaged" in refused.stdout
    path = Path(good.stdout.splitlines()[0])
    assert not path.is_symlink()
    assert path.read_bytes() == (hub.folder / CHECKPOINT).read_bytes()


def test_a_pinned_hash_must_agree(hub: LocalHub, tmp_path: Path) -> None:
    fetch = (
        "from weights.hub import fetch; from weights.manifest import HubFile; fetch(HubFile({!r}, 1, sha256='0' * 64))"
    )
    result = run_python(fetch.format(CHECKPOINT), tmp_path / "cache", HF_ENDPOINT=hub.endpoint)
    assert "arrived damaged" in result.stderr


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "refused"),
        ({"HF_ENDPOINT": "http://no-such-host.invalid"}, "resol"),
    ],
)
def test_without_network_one_line_says_what_to_do(tmp_path: Path, environment: dict[str, str], reason: str) -> None:
    result = run_python(LOCATE, tmp_path, **environment)
    message, origin = result.stdout.splitlines()
    assert reason in message
    assert (
        f"https://huggingface.co/eloialonso/diamond/resolve/5d4abca9af6ab1b3ab1c6fc228cacb7281130f7f/{CHECKPOINT}"
        in message
    )
    assert "--weights PATH" in message
    assert origin == "hub"
    assert not result.stderr


def test_a_file_the_hub_lacks(hub: LocalHub, tmp_path: Path) -> None:
    (hub.folder / CHECKPOINT).unlink()
    result = run_python(LOCATE, tmp_path / "cache", HF_ENDPOINT=hub.endpoint)
    assert "it is not there" in result.stdout
