"""How the three programs end: exit code 0 good, 2 wrong usage, 1 failed, and one line that says why."""

from pathlib import Path
from shutil import copytree

import pytest

from tests.programs import PROGRAMS, call

WRONG_USAGE = (
    "diamond-play atari",
    "diamond-play atari Breakout --nonesuch",
    "diamond-play atari Breakout --steps many",
    "diamond-play atari Breakout --steps 0 --headless",
    "diamond-play atari Nonesuch",
    "diamond-play atari Breakout --weights nowhere --headless",
    "diamond-play atari Breakout --weights empty --headless",
    "diamond-play atari Pong --weights world --headless",
    "diamond-play csgo --weights nowhere --headless",
    "diamond-play csgo --weights world --headless",
    "diamond-play doom --weights hub --headless",
    "diamond-play gym:CartPole-v1 --headless",
    "diamond-play gym:CartPole-v1 --weights world --headless",
    "diamond-play nonesuch:Env-v0 --headless",
    "diamond-play replay nowhere.mp4",
    "diamond-play nonesuch",
    "diamond-train nonesuch",
    "diamond-train collect Breakout --steps 5",
    "diamond-train collect Breakout --steps 0 --out new",
    "diamond-train collect csgo --steps 5 --out new",
    "diamond-train collect CartPole-v1 --steps 5 --out new",
    "diamond-train collect nonesuch:Env-v0 --steps 5 --out new",
    "diamond-train collect Breakout --steps 5 --size 50 --out new",
    "diamond-train collect Breakout --steps 5 --policy nonesuch:play --out new",
    "diamond-train world-model Breakout --data nowhere --out new",
    "diamond-train world-model Breakout --data empty --out new",
    "diamond-train agent Breakout --world nowhere --out new",
    "diamond-train atari Breakout --set nonesuch=1 --out new",
    "diamond-train algorithm1 Breakout --frame-size 50 --out new",
    "diamond-train csgo --data nowhere --out new",
    "diamond-train csgo-data prepare nowhere new",
    "diamond-train import-videos nowhere --out new",
    "diamond-train assemble nowhere --out new",
    "diamond-train suite --games Nonesuch --out new",
    "diamond-train suite --games SpaceInvaders --out new",
    "diamond-eval fidelity nowhere",
    "diamond-eval agent empty",
    "diamond-eval inspect nowhere",
    "diamond-eval inspect empty",
    "diamond-eval suite nowhere",
    "diamond-eval suite empty",
    "diamond-eval drift",
)
FAILED = (
    "diamond-play atari Breakout --weights damaged --headless",
    "diamond-play replay damaged.session.npz",
    "diamond-train agent Breakout --world damaged --out new",
    "diamond-train csgo-data check empty",
    "diamond-eval agent damaged",
    "diamond-eval suite damaged.json",
)


@pytest.fixture(scope="module")
def folder(world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a world, a damaged one, other damaged files, and an empty folder."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "empty").mkdir()
    for name in ("world", "damaged"):
        copytree(world_folder, folder / name)
    for name in ("damaged/denoiser.safetensors", "damaged/actor_critic.safetensors"):
        (folder / name).write_bytes(b"damaged")
    for name in ("damaged.session.npz", "damaged.json"):
        (folder / name).write_bytes(b"\x00damaged")
    return folder


@pytest.mark.parametrize(("line", "code"), [*((line, 2) for line in WRONG_USAGE), *((line, 1) for line in FAILED)])
def test_an_error_is_one_line_and_the_code_of_its_kind(folder: Path, line: str, code: int) -> None:
    done = call(*line.split(), folder=folder)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert not (folder / "new").exists()


@pytest.mark.parametrize("program", PROGRAMS)
def test_versions(program: str) -> None:
    done = call(program, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{program} 0.")
    assert "torch 2." in done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_alone_shows_its_help(program: str) -> None:
    done = call(program)
    assert (done.returncode, done.stderr) == (2, "")
    assert "Usage:" in done.stdout
    assert "--version" in done.stdout
