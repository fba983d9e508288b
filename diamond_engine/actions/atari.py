"""The 26 games of the Atari 100k benchmark and their minimal action sets, in the emulator's order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from diamond_engine.errors import UsageError


class Button(StrEnum):
    """The five buttons of the Atari joystick."""

    UP = "UP"
    DOWN = "DOWN"
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    FIRE = "FIRE"


NOOP = "NOOP"
DIRECTIONS = ("UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT")
ALL_ACTIONS = (NOOP, "FIRE", *DIRECTIONS, *(direction + "FIRE" for direction in DIRECTIONS))


def action_name(vertical: Button | None, horizontal: Button | None, fire: bool) -> str:
    """The emulator's name of a joystick position, such as ``UPRIGHTFIRE``."""
    return (vertical or "") + (horizontal or "") + (Button.FIRE if fire else "") or NOOP


@dataclass(frozen=True)
class AtariGame:
    """One game: its name in the benchmark, its ROM in the emulator, and its minimal action set."""

    name: str
    """Name in the benchmark, such as ``MsPacman``."""
    rom: str
    """Name of the ROM in ``ale-py``, such as ``ms_pacman``."""
    actions: tuple[str, ...]
    """Names of the actions; an action is an index into this."""

    def action(self, pressed: Iterable[Button]) -> int:
        """The action closest to a set of pressed buttons.

        Opposite directions cancel. Where the game lacks the exact combination, as many buttons as possible are
        kept, directions before fire, horizontal before vertical.
        """
        held = set(pressed)
        vertical = _one_of(held, Button.UP, Button.DOWN)
        horizontal = _one_of(held, Button.LEFT, Button.RIGHT)
        choices = product((horizontal, None), (vertical, None), (Button.FIRE in held, False))
        ranked = sorted(choices, key=lambda c: sum(map(bool, c)), reverse=True)
        names = (action_name(vertical, horizontal, fire) for horizontal, vertical, fire in ranked)
        return self.actions.index(next(name for name in names if name in self.actions))


def _one_of(held: set[Button], first: Button, second: Button) -> Button | None:
    if (first in held) == (second in held):
        return None
    return first if first in held else second


ATARI_GAMES: dict[str, AtariGame] = {
    game.name: game
    for game in (
        AtariGame("Alien", "alien", ALL_ACTIONS),
        AtariGame(
            "Amidar",
            "amidar",
            ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN", "UPFIRE", "RIGHTFIRE", "LEFTFIRE", "DOWNFIRE"),
        ),
        AtariGame("Assault", "assault", ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")),
        AtariGame(
            "Asterix", "asterix", ("NOOP", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT")
        ),
        AtariGame("BankHeist", "bank_heist", ALL_ACTIONS),
        AtariGame("BattleZone", "battle_zone", ALL_ACTIONS),
        AtariGame("Boxing", "boxing", ALL_ACTIONS),
        AtariGame("Breakout", "breakout", ("NOOP", "FIRE", "RIGHT", "LEFT")),
        AtariGame("ChopperCommand", "chopper_command", ALL_ACTIONS),
        AtariGame(
            "CrazyClimber",
            "crazy_climber",
            ("NOOP", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT"),
        ),
        AtariGame("DemonAttack", "demon_attack", ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")),
        AtariGame("Freeway", "freeway", ("NOOP", "UP", "DOWN")),
        AtariGame("Frostbite", "frostbite", ALL_ACTIONS),
        AtariGame("Gopher", "gopher", ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "UPFIRE", "RIGHTFIRE", "LEFTFIRE")),
        AtariGame("Hero", "hero", ALL_ACTIONS),
        AtariGame("Jamesbond", "jamesbond", ALL_ACTIONS),
        AtariGame("Kangaroo", "kangaroo", ALL_ACTIONS),
        AtariGame("Krull", "krull", ALL_ACTIONS),
        AtariGame(
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
        AtariGame(
            "MsPacman",
            "ms_pacman",
            ("NOOP", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT"),
        ),
        AtariGame("Pong", "pong", ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")),
        AtariGame("PrivateEye", "private_eye", ALL_ACTIONS),
        AtariGame("Qbert", "qbert", ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN")),
        AtariGame("RoadRunner", "road_runner", ALL_ACTIONS),
        AtariGame("Seaquest", "seaquest", ALL_ACTIONS),
        AtariGame("UpNDown", "up_n_down", ("NOOP", "FIRE", "UP", "DOWN", "UPFIRE", "DOWNFIRE")),
    )
}


def atari_game(name: str) -> AtariGame:
    """Looks a game up by its name, ignoring case and underscores. Raises ``UsageError`` naming the nearest ones."""
    folded = {key.lower(): game for key, game in ATARI_GAMES.items()}
    wanted = name.lower().replace("_", "")
    if wanted in folded:
        return folded[wanted]
    near = [folded[key].name for key in difflib.get_close_matches(wanted, folded, n=3, cutoff=0.4)]
    hint = f"did you mean {', '.join(near)}?" if near else f"known games: {', '.join(ATARI_GAMES)}"
    raise UsageError(f"unknown Atari game {name!r}: {hint}")
