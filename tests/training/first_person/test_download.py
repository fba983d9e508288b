"""``csgo-data download`` from a hub on this machine, by real HTTP, in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.weights.hub_server import LocalHub
from training.first_person.download import REPOSITORY, REVISION

DOWNLOAD = """
from pathlib import Path
import typer
from rich.console import Console
from training.first_person.download import download
from training.runs import command
app = typer.Typer()
@app.command()
def main(out: Path, first: int | None = None) -> None:
    download(out, first, Console(stderr=True))
command.run(app)
"""
"""What the command does, without torch, which takes longer to import."""
FIRST, SECOND = "hdf5_dm_july2021_1_to_200.tar", "hdf5_dm_july2021_201_to_400.tar"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    """A hub that has two tars and more that is none of this command's business."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "README.md").write_text("terms")
    (folder / "dataset_aim_expert.tar").write_bytes(b"another set")
    (folder / SECOND).write_bytes(b"the second tar" * 5000)
    (folder / FIRST).write_bytes(b"the first tar" * 5000)
    with LocalHub(folder, (REPOSITORY, REVISION)) as hub:
        yield hub


def download(out: Path, *more: str, whole: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    program = ("-m", "training.cli", "csgo-data", "download") if whole else ("-c", DOWNLOAD)
    return subprocess.run(
        [sys.executable, *program, str(out), *more],
        env={**inherited, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_what_arrived_is_kept_and_the_rest_is_asked_for(hub: LocalHub, tmp_path: Path) -> None:
    out = tmp_path / "tars"
    out.mkdir()
    content = (hub.folder / FIRST).read_bytes()
    (out / f".{FIRST}.part").write_bytes(content[:20_000])
    first = download(out, "--first", "1", HF_ENDPOINT=hub.endpoint)
    assert first.returncode == 0, first.stderr
    assert hub.ranges == ["bytes=20000-"]
    assert (out / FIRST).read_bytes() == content
    hub.damaged.add(SECOND)
    damaged = download(out, HF_ENDPOINT=hub.endpoint)
    assert damaged.returncode == 1
    assert damaged.stderr.splitlines()[-1] == (
        f"error: {SECOND} arrived damaged and was deleted: run the same command again"
    )
    hub.damaged.clear()
    rest = download(out, HF_ENDPOINT=hub.endpoint)
    assert rest.returncode == 0, rest.stderr
    assert "2 tars, 0.0 GB" in rest.stderr
    assert sorted(path.name for path in out.glob("[!.]*")) == [FIRST, SECOND]
    assert (out / SECOND).read_bytes() == (hub.folder / SECOND).read_bytes()
    assert hub.downloads == [FIRST, SECOND, SECOND]


def test_more_than_there_is_begins_anew(hub: LocalHub, tmp_path: Path) -> None:
    out = tmp_path / "tars"
    out.mkdir()
    content = (hub.folder / FIRST).read_bytes()
    (out / f".{FIRST}.part").write_bytes(content + b"more")
    done = download(out, "--first", "1", HF_ENDPOINT=hub.endpoint)
    assert done.returncode == 0, done.stderr
    assert (out / FIRST).read_bytes() == content


def test_offline_it_is_one_line(tmp_path: Path) -> None:
    result = download(tmp_path / "tars", whole=True, HF_HUB_OFFLINE="1")
    assert result.returncode == 1
    assert result.stderr.startswith("error: the download stopped (")
    assert result.stderr.endswith("): what arrived is kept, run the same command again\n")
    assert result.stderr.count("\n") == 1
