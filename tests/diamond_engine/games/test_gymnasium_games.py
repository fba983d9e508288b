"""Environments of Gymnasium as games: pictures, tables, names, and what a person's own code may do wrong."""

import sys
from pathlib import Path

import numpy as np
import pygame
import pytest

from diamond_engine.emulators import can_emulate, open_emulator
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import Game, emulated_game, game_named
from diamond_engine.games.gymnasium_games import make_environment
from tests.diamond_engine.games.environments import MODULE, STEP


def own(kind: str) -> Game:
    return game_named(f"{MODULE}:{kind}-v0")


def column(frame: np.ndarray) -> int:
    """Of the square's left edge."""
    return int(np.flatnonzero((frame[..., 0] > 128).any(axis=0))[0])


def moved(kind: str, *pressed: str) -> int:
    """Columns by which the square moves while buttons are held for a step."""
    game = own(kind)
    emulator = open_emulator(game, seed=5)
    before = column(emulator.reset()[0])
    after = column(emulator.step(np.array([game.action(pressed)])).successors[0])
    emulator.close()
    return after - before


def test_a_game_tells_what_its_environment_does() -> None:
    game = own("Square")
    assert game.name == f"gym:{MODULE}:Square-v0" == game.world
    assert game_named(game.name) is game
    assert game.actions == ("stay", "up", "down", "left", "right")
    assert (game.frame_height, game.frame_width, game.frame_rate) == (64, 64, 10.0)
    assert "/" not in game.file_name
    assert ":" not in game.file_name


@pytest.mark.parametrize(
    ("kind", "left", "right"), [("Square", "LEFT", "RIGHT"), ("Switches", "1", "2"), ("Axes", "LEFT", "RIGHT")]
)
def test_what_is_pressed_moves_the_square(kind: str, left: str, right: str) -> None:
    assert moved(kind, left) == -STEP
    assert moved(kind, right) == STEP
    assert moved(kind) == 0


def test_dials_reach_the_environment() -> None:
    assert moved("Dials") == -STEP, "0 is the first value of a dial"
    assert moved("Dials", "3") == 0
    assert moved("Dials", "4") == STEP


@pytest.mark.parametrize("kind", ["Square", "Rendered", "Grey"])
def test_pictures_are_resized(kind: str) -> None:
    emulator = open_emulator(own(kind).sized(32), 2)
    frames = emulator.reset(3)
    assert frames.shape == (2, 32, 32, 3)
    assert frames.dtype == np.uint8
    assert kind != "Grey" or (frames == 7).all()
    emulator.close()


def test_the_same_seed_plays_the_same_game() -> None:
    def play() -> np.ndarray:
        emulator = open_emulator(own("Square"), 3, seed=1)
        rng = np.random.default_rng(0)
        frames = [emulator.reset(8)]
        frames += [emulator.step(rng.integers(5, size=3)).frames for _ in range(20)]
        emulator.close()
        return np.stack(frames)

    first = play()
    np.testing.assert_array_equal(first, play())
    assert (first[:, 0] != first[:, 1]).any()


def test_a_game_that_ends_starts_anew_in_the_same_step() -> None:
    emulator = open_emulator(own("Square"), 2, seed=4)
    before = emulator.reset()
    for _ in range(40):
        result = emulator.step(np.array([4, 0]))
        if result.game_over[0]:
            break
        before = result.frames
    assert result.game_over[0]
    assert (result.terminated | result.truncated)[0]
    assert column(result.successors[0]) >= column(before[0])
    assert (result.successors[0] != result.frames[0]).any()
    emulator.close()


def test_keys_of_its_own_and_rendered_pictures() -> None:
    game = own("Rendered")
    assert [*map(set, game.buttons)] == [set(), {"z"}, {"x", "z"}]
    assert game.action(["z", "x"]) == 2
    assert game.action(["x"]) == 0


def test_one_from_gymnasium() -> None:
    game = game_named("gym:CartPole-v1")
    assert game.frame_rate == 50
    assert game.action(["RIGHT"]) == 1
    emulator = open_emulator(game, 2)
    assert len(np.unique(emulator.reset(0))) > 2
    emulator.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gym:NoSuch-v0", "no Gymnasium environment"),
        ("no_such_module:Env-v0", "no module 'no_such_module'"),
        (f"{MODULE}:NoSuch-v0", "no Gymnasium environment"),
        (f"{MODULE}:Blind-v0", "no pictures"),
        ("CartPole-v1", "did you mean gym:CartPole-v1"),
        ("Cartpole-v1", "is 'gym:ID'"),
        ("csgo", "only recorded"),
    ],
)
def test_what_cannot_be_played_is_wrong_usage(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        emulated_game(name)


def test_a_package_that_registers_games_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(UsageError, match="no module 'minigrid' here: pip install minigrid"):
        make_environment("BabyAI-GoToRedBall-v0")


def test_drawing_without_a_screen_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("XDG_RUNTIME_DIR", "SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    pygame.display.quit()
    emulator = open_emulator(game_named("gym:Blackjack-v1"))
    assert emulator.reset().shape == (1, 64, 64, 3)
    emulator.close()
    assert capfd.readouterr().err == ""


def test_failures_of_own_code_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = open_emulator(own("Broken"))
    emulator.reset()
    with pytest.raises(DiamondError, match="fails: RuntimeError: out of order"):
        emulator.step(np.array([0]))
    (tmp_path / "half_written.py").write_text("import numpy\n1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(DiamondError, match="half_written cannot be imported: ZeroDivisionError"):
        game_named("half_written:Env-v0")


def test_a_game_whose_actions_changed_is_not_played() -> None:
    from dataclasses import replace

    changed = replace(own("Square"), actions=("stay", "go"))
    assert not can_emulate(changed)
    with pytest.raises(UsageError, match="other actions now"):
        open_emulator(changed)


@pytest.mark.parametrize("side", [0, 40, 512])
def test_sizes_that_no_network_takes_are_refused(side: int) -> None:
    with pytest.raises(UsageError, match="multiple of 16"):
        own("Square").sized(side)
