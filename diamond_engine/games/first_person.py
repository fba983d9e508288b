"""Games seen through the player's eyes, whose actions are the vectors of a ``KeyMap``, unless told otherwise CS:GO's.

They are recorded, not emulated: their worlds have neither rewards nor ends.
"""

from __future__ import annotations

from diamond_engine.actions import KeyMap, csgo
from diamond_engine.games.game import Game


def first_person_game(name: str, title: str = "", frame_rate: float = 16.0, key_map: KeyMap = csgo.KEY_MAP) -> Game:
    """One's own game, recorded with keys and mouse."""
    return Game(
        name,
        key_map.names,
        world=name,
        title=title or name,
        frame_height=150,
        frame_width=280,
        frame_rate=frame_rate,
        key_map=key_map,
        judged=False,
    )


FIRST_PERSON_GAMES = {
    game.name: game for game in (first_person_game("csgo", "CS:GO"), first_person_game("doom", "Doom", 17.5))
}
"""Those with a name and a command of their own."""
