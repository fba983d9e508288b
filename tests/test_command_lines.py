"""How the three programs end: exit code 0 good, 2 wrong usage, 1 failed, and one line that says why."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from diamond_engine.worlds import write_world
from play.cli import main as play
from tests.conftest import tiny_world
from training.cli import main as train
from training.evaluation.cli import main as evaluate

PROGRAMS: dict[str, Callable[[], None]] = {"diamond-play": play, "diamond-train": train, "diamond-eval": evaluate}
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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a world, a damaged one, other damaged files, and an empty folder."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "empty").mkdir()
    write_world(folder / "world", tiny_world())
    write_world(folder / "damaged", tiny_world())
    for name in ("damaged/denoiser.safetensors", "damaged/actor_critic.safetensors"):
        (folder / name).write_bytes(b"damaged")
    for name in ("damaged.session.npz", "damaged.json"):
        (folder / name).write_bytes(b"\x00damaged")
    return folder


@pytest.fixture
def call(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int | str | None, str, str]]:
    """Calls a program in the folder: exit code, what it says, and its errors."""

    def run(line: str) -> tuple[int | str | None, str, str]:
        program, *arguments = line.split()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # the training programs set their own
        with pytest.raises(SystemExit) as end:
            PROGRAMS[program]()
        return end.value.code, *capfd.readouterr()

    return run


@pytest.mark.parametrize(("line", "code"), [*((line, 2) for line in WRONG_USAGE), *((line, 1) for line in FAILED)])
def test_an_error_is_one_line_and_the_code_of_its_kind(
    call: Callable[[str], tuple[int | str | None, str, str]], folder: Path, line: str, code: int
) -> None:
    ended, _, errors = call(line)
    assert (ended, errors.count("\n")) == (code, 1), errors
    assert errors.startswith("error: ")
    assert not (folder / "new").exists()


@pytest.mark.parametrize("program", PROGRAMS)
def test_versions(call: Callable[[str], tuple[int | str | None, str, str]], program: str) -> None:
    ended, said, errors = call(f"{program} --version")
    assert (ended, errors) == (0, "")
    assert said.startswith(f"{program} 0.")
    assert "torch 2." in said


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_alone_shows_its_help(call: Callable[[str], tuple[int | str | None, str, str]], program: str) -> None:
    ended, said, errors = call(program)
    assert (ended, errors) == (2, "")
    assert "Usage:" in said
    assert "--version" in said
