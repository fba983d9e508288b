"""The real games, batched: those that Atari's emulator has, and Gymnasium environments."""

from __future__ import annotations

from diamond_engine.emulators.emulator import Emulator, EmulatorStep
from diamond_engine.errors import DiamondError, UsageError
from diamond_engine.games import Game

__all__ = ["Emulator", "EmulatorStep", "can_emulate", "open_emulator"]


def open_emulator(game: Game, num_envs: int = 1, *, seed: int = 0, end_on_life_loss: bool = False) -> Emulator:
    """B copies of a real game; ``end_on_life_loss`` ends an episode at every lost life where the game has lives.

    Raises ``DiamondError`` where it is not here, ``UsageError`` for a game that is only recorded.
    """
    match game.emulator.partition(":")[0]:
        case "ale":
            from diamond_engine.emulators.atari import AtariEmulator, has_rom

            if not has_rom(game):
                line = f"the emulator has no ROM of {game.name}: reinstall it with 'pip install --upgrade ale-py'"
                raise DiamondError(line)
            return AtariEmulator(game, num_envs, seed=seed, end_on_life_loss=end_on_life_loss)
        case "gym":
            from diamond_engine.emulators.gymnasium import GymnasiumEmulator

            return GymnasiumEmulator(game, num_envs, seed=seed, end_on_life_loss=end_on_life_loss)
        case _:
            raise UsageError(f"{game.title} cannot be played here, only recorded")


def can_emulate(game: Game) -> bool:
    """Whether the real game can be opened here."""
    try:
        open_emulator(game).close()
    except DiamondError:
        return False
    return True
