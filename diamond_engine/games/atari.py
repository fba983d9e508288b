"""Atari games: the 26 of Atari 100k with their minimal action sets, in the emulator's order, and the rest.

What ``ale-py`` has besides is asked for its action set when it is named.
"""

from __future__ import annotations

import difflib
import re
from functools import cache

from diamond_engine.errors import UsageError
from diamond_engine.games.game import Button, Buttons, Game

NOOP = "NOOP"
DIRECTIONS = ("UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT")
ALL_ACTIONS = (NOOP, "FIRE", *DIRECTIONS, *(direction + "FIRE" for direction in DIRECTIONS))


PLAYED_BY_TWO = frozenset(("combat", "joust", "maze_craze", "warlords"))
"""ROMs that the emulator does not start for one player."""
SPELLINGS = re.compile(r"^(?:ale/)?(.+?)(?:noframeskip|deterministic)?(?:-v[0-9]+)?$")
"""``ALE/Breakout-v5`` and ``BreakoutNoFrameskip-v4`` are Gymnasium's names of ``breakout``, in lower case."""


def _held(action: str) -> Buttons:
    """What is held in an action such as ``UPRIGHTFIRE``."""
    return frozenset(button for button in Button if button in action)


def _game(name: str, rom: str, actions: tuple[str, ...]) -> Game:
    """The game of a ROM: minimal action set, 4 frames of 60 an action."""
    return Game(name, actions, tuple(map(_held, actions)), f"ale:{rom}", f"atari/{name}", name)


ATARI_GAMES: dict[str, Game] = {
    game.name: game
    for game in (
        _game("Alien", "alien", ALL_ACTIONS),
        _game(
            "Amidar",
            "amidar",
            ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN", "UPFIRE", "RIGHTFIRE", "LEFTFIRE", "DOWNFIRE"),
        ),
        _game("Assault", "assault", ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")),
        _game(
            "Asterix", "asterix", ("NOOP", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT")
        ),
        _game("BankHeist", "bank_heist", ALL_ACTIONS),
        _game("BattleZone", "battle_zone", ALL_ACTIONS),
        _game("Boxing", "boxing", ALL_ACTIONS),
        _game("Breakout", "breakout", ("NOOP", "FIRE", "RIGHT", "LEFT")),
        _game("ChopperCommand", "chopper_command", ALL_ACTIONS),
        _game(
            "CrazyClimber",
            "crazy_climber",
            ("NOOP", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT"),
        ),
        _game("DemonAttack", "demon_attack", ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")),
        _game("Freeway", "freeway", ("NOOP", "UP", "DOWN")),
        _game("Frostbite", "frostbite", ALL_ACTIONS),
        _game("Gopher", "gopher", ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "UPFIRE", "RIGHTFIRE", "LEFTFIRE")),
        _game("Hero", "hero", ALL_ACTIONS),
        _game("Jamesbond", "jamesbond", ALL_ACTIONS),
        _game("Kangaroo", "kangaroo", ALL_ACTIONS),
        _game("Krull", "krull", ALL_ACTIONS),
        _game(
            "KungFuMaster",
            "kung_fu_master",
            (
                "NOOP",
                "UP",
                "RIGHT",
                "LEFT",
                "DOWN",
                "DOWNRIGHT",
                "DOWNLEFT",
                "RIGHTFIRE",
                "LEFTFIRE",
                "DOWNFIRE",
                "UPRIGHTFIRE",
                "UPLEFTFIRE",
                "DOWNRIGHTFIRE",
                "DOWNLEFTFIRE",
            ),
        ),
        _game(
            "MsPacman",
            "ms_pacman",
            ("NOOP", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT"),
        ),
        _game("Pong", "pong", ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")),
        _game("PrivateEye", "private_eye", ALL_ACTIONS),
        _game("Qbert", "qbert", ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN")),
        _game("RoadRunner", "road_runner", ALL_ACTIONS),
        _game("Seaquest", "seaquest", ALL_ACTIONS),
        _game("UpNDown", "up_n_down", ("NOOP", "FIRE", "UP", "DOWN", "UPFIRE", "DOWNFIRE")),
    )
}


def atari_game(name: str) -> Game:
    """Looks a game up by its name, ignoring case, underscores and what Gymnasium adds to it.

    Raises ``UsageError`` naming the nearest ones.
    """
    found = SPELLINGS.match(name.lower())
    wanted = re.sub("[-_ ]", "", found[1] if found else "")
    folded = {key.lower(): key for key in ATARI_GAMES}
    if wanted in folded:
        return ATARI_GAMES[folded[wanted]]
    roms = {rom.replace("_", ""): rom for rom in _roms()}
    if wanted in roms:
        return _of_rom(roms[wanted])
    near = difflib.get_close_matches(wanted, {**roms, **folded}, n=3, cutoff=0.4)
    names = [folded[key] if key in folded else _title(roms[key]) for key in near]
    hint = f"did you mean {', '.join(names)}?" if names else f"known games: {', '.join(ATARI_GAMES)}"
    raise UsageError(f"unknown Atari game {name!r}: {hint}")


def benchmark_game(name: str) -> Game:
    """One of the 26. Raises ``UsageError`` for another game."""
    game = atari_game(name)
    if game.name not in ATARI_GAMES:
        raise UsageError(f"{game.name} is none of the 26 games of Atari 100k: {', '.join(ATARI_GAMES)}")
    return game


def _roms() -> list[str]:
    from ale_py import roms

    return [rom for rom in roms.get_all_rom_ids() if rom not in PLAYED_BY_TWO]


def _title(rom: str) -> str:
    """As Gymnasium writes it: ``SpaceInvaders`` for ``space_invaders``."""
    return "".join(word.capitalize() for word in rom.split("_"))


@cache
def _of_rom(rom: str) -> Game:
    from ale_py import ALEInterface, LoggerMode, roms

    ALEInterface.setLoggerMode(LoggerMode.Error)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    emulator = ALEInterface()
    emulator.loadROM(str(roms.get_rom_path(rom)))  # pyright: ignore[reportUnknownMemberType]
    return _game(_title(rom), rom, tuple(action.name for action in emulator.getMinimalActionSet()))
