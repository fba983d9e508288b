"""Games seen through the player's eyes, whose actions are the vectors of ``diamond_engine.actions.csgo``.

They are recorded, not emulated: their worlds have neither rewards nor ends.
"""

from __future__ import annotations

from diamond_engine.actions import csgo
from diamond_engine.games.game import Game


def first_person_game(name: str, title: str = "", frame_rate: float = 16.0) -> Game:
    """One's own game, recorded with the keys and the mouse of CS:GO."""
    return Game(
        name,
        csgo.NAMES,
        world=name,
        title=title or name,
        frame_height=150,
        frame_width=280,
        frame_rate=frame_rate,
        vectors=True,
        judged=False,
    )


FIRST_PERSON_GAMES = {
    game.name: game for game in (first_person_game("csgo", "CS:GO"), first_person_game("doom", "Doom", 17.5))
}
"""Those with a name and a command of their own."""
