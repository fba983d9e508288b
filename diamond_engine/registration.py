"""Registers dreams in Gymnasium: ``diamond/<Game>-v0`` of the 26 games, CSGO and Doom; ``diamond/World-v0`` of any.

The classes are given as strings and imported when an environment is first made, so that registering costs nothing.
"""

import gymnasium

from diamond_engine.games import ATARI_GAMES, FIRST_PERSON_GAMES


def register_worlds() -> None:
    """Registers every game for ``gymnasium.make`` and ``gymnasium.make_vec``; ``World`` takes one by ``world=``."""
    named = {game.title.replace(":", ""): game.world for game in (*ATARI_GAMES.values(), *FIRST_PERSON_GAMES.values())}
    for name, world in {**named, "World": None}.items():
        gymnasium.register(  # pyright: ignore[reportUnknownMemberType]
            f"diamond/{name}-v0",
            entry_point="diamond_engine.gym:DreamEnv",
            vector_entry_point="diamond_engine.gym:DreamVectorEnv",
            kwargs={} if world is None else {"world": world},
        )
