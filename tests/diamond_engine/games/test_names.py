"""The names that people type."""

import numpy as np
import pytest

from diamond_engine.emulators import open_emulator
from diamond_engine.errors import UsageError
from diamond_engine.games import ATARI_GAMES, atari_game, benchmark_game, game_named
from diamond_engine.games.atari import PLAYED_BY_TWO


@pytest.mark.parametrize(
    "name",
    ["Breakout", "breakout", "atari/Breakout", "ALE/Breakout-v5", "BreakoutNoFrameskip-v4", "Breakout-v4", "break_out"],
)
def test_spellings_of_an_atari_game(name: str) -> None:
    assert game_named(name) is ATARI_GAMES["Breakout"]


@pytest.mark.parametrize("name", ["SpaceInvaders", "space_invaders", "ALE/SpaceInvaders-v5", "spaceinvaders"])
def test_a_game_beyond_the_26(name: str) -> None:
    game = game_named(name)
    assert (game.name, game.world) == ("SpaceInvaders", "atari/SpaceInvaders")
    assert game.actions == ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
    assert game.action(["RIGHT", "FIRE"]) == 4


def test_it_is_emulated() -> None:
    emulator = open_emulator(atari_game("SpaceInvaders"), 2)
    assert emulator.reset().shape == (2, 64, 64, 3)
    assert emulator.step(np.array([0, 5])).frames.shape == (2, 64, 64, 3)
    emulator.close()


def test_the_suite_stays_at_26() -> None:
    assert len(ATARI_GAMES) == 26
    assert benchmark_game("ms_pacman").name == "MsPacman"
    with pytest.raises(UsageError, match="none of the 26"):
        benchmark_game("SpaceInvaders")


def test_there_are_104() -> None:
    from ale_py import roms

    names = [rom for rom in roms.get_all_rom_ids() if rom not in PLAYED_BY_TWO]
    assert len(names) >= 104
    assert len({rom.replace("_", "") for rom in names}) == len(names), "names are told apart without underscores"
    assert set(ATARI_GAMES) <= {
        atari_game(rom).name for rom in ("alien", *(g.emulator[4:] for g in ATARI_GAMES.values()))
    }


@pytest.mark.parametrize(("typed", "meant"), [("Breakotu", "Breakout"), ("spaceinvader", "SpaceInvaders")])
def test_near_misses_are_named(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=meant):
        game_named(typed)


def test_games_for_two_are_unknown() -> None:
    with pytest.raises(UsageError, match="unknown Atari game"):
        game_named("combat")


def test_first_person_games_are_games() -> None:
    game = game_named("doom")
    assert game.vectors
    assert not game.judged
    assert (game.title, game.frame_rate, len(game.actions)) == ("Doom", 17.5, 51)
