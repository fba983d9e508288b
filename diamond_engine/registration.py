"""Registers dreams in Gymnasium: ``diamond/<Game>-v0`` for the 26 games.

The classes are given as strings and imported when an environment is first made, so that registering costs nothing.
"""

import gymnasium

from diamond_engine.actions import ATARI_GAMES


def register_worlds() -> None:
    """Registers every game for ``gymnasium.make`` and ``gymnasium.make_vec``."""
    for game in ATARI_GAMES:
        gymnasium.register(  # pyright: ignore[reportUnknownMemberType]
            f"diamond/{game}-v0",
            entry_point="diamond_engine.gym:DreamEnv",
            vector_entry_point="diamond_engine.gym:DreamVectorEnv",
            kwargs={"world": f"atari/{game}"},
        )
