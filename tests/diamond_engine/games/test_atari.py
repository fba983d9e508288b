"""The 26 games: the emulator's own action sets, and buttons to actions."""

from itertools import combinations

import pytest
from ale_py import ALEInterface, LoggerMode, roms

from diamond_engine.errors import UsageError
from diamond_engine.games import ATARI_GAMES, Button, Game, atari_game

UP, DOWN, LEFT, RIGHT, FIRE = Button


@pytest.mark.parametrize("game", ATARI_GAMES.values(), ids=ATARI_GAMES)
def test_actions_are_the_minimal_set_of_the_emulator(game: Game) -> None:
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale = ALEInterface()
    ale.loadROM(str(roms.get_rom_path(game.emulator.removeprefix("ale:"))))
    assert game.actions == tuple(action.name for action in ale.getMinimalActionSet())


def test_there_are_26_games() -> None:
    assert len(ATARI_GAMES) == 26
    assert all(name == game.name for name, game in ATARI_GAMES.items())


@pytest.mark.parametrize(
    ("game", "pressed", "action"),
    [
        ("Alien", (), "NOOP"),
        ("Alien", (UP, RIGHT, FIRE), "UPRIGHTFIRE"),
        ("Alien", (LEFT, RIGHT, FIRE), "FIRE"),
        ("Alien", (UP, DOWN, LEFT, RIGHT), "NOOP"),
        ("Breakout", (LEFT,), "LEFT"),
        ("Breakout", (LEFT, FIRE), "LEFT"),
        ("Breakout", (UP, RIGHT), "RIGHT"),
        ("Breakout", (UP, FIRE), "FIRE"),
        ("Breakout", (UP,), "NOOP"),
        ("Freeway", (UP, LEFT, FIRE), "UP"),
        ("Qbert", (UP, RIGHT), "RIGHT"),
        ("Gopher", (DOWN, RIGHT, FIRE), "RIGHTFIRE"),
        ("KungFuMaster", (FIRE,), "NOOP"),
        ("KungFuMaster", (UP, LEFT), "LEFT"),
    ],
)
def test_buttons_to_actions(game: str, pressed: tuple[Button, ...], action: str) -> None:
    found = atari_game(game)
    assert found.actions[found.action(pressed)] == action


@pytest.mark.parametrize("game", ATARI_GAMES.values(), ids=ATARI_GAMES)
def test_every_action_can_be_pressed_and_every_combination_is_an_action(game: Game) -> None:
    reached = {game.action(pressed) for n in range(6) for pressed in combinations(Button, n)}
    assert reached == set(range(len(game.actions)))


@pytest.mark.parametrize("name", ["MsPacman", "mspacman", "ms_pacman", "MSPACMAN"])
def test_names_ignore_case_and_underscores(name: str) -> None:
    assert atari_game(name).name == "MsPacman"


def test_unknown_games_name_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean Breakout"):
        atari_game("Brekout")
    with pytest.raises(UsageError, match="known games: Alien, "):
        atari_game("zzzzzzzzzz")
