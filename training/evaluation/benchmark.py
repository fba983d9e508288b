"""Random and human scores of the Atari 100k benchmark (Table 1 of the paper), the two ends of the normalised scale."""

from __future__ import annotations

from dataclasses import dataclass

from diamond_engine.actions import AtariGame


@dataclass(frozen=True)
class ReferenceScores:
    """Mean scores of whole games."""

    random: float
    """Of uniformly random actions."""
    human: float
    """Of a human player."""


REFERENCE_SCORES = {
    "Alien": ReferenceScores(227.8, 7127.7),
    "Amidar": ReferenceScores(5.8, 1719.5),
    "Assault": ReferenceScores(222.4, 742.0),
    "Asterix": ReferenceScores(210.0, 8503.3),
    "BankHeist": ReferenceScores(14.2, 753.1),
    "BattleZone": ReferenceScores(2360.0, 37187.5),
    "Boxing": ReferenceScores(0.1, 12.1),
    "Breakout": ReferenceScores(1.7, 30.5),
    "ChopperCommand": ReferenceScores(811.0, 7387.8),
    "CrazyClimber": ReferenceScores(10780.5, 35829.4),
    "DemonAttack": ReferenceScores(152.1, 1971.0),
    "Freeway": ReferenceScores(0.0, 29.6),
    "Frostbite": ReferenceScores(65.2, 4334.7),
    "Gopher": ReferenceScores(257.6, 2412.5),
    "Hero": ReferenceScores(1027.0, 30826.4),
    "Jamesbond": ReferenceScores(29.0, 302.8),
    "Kangaroo": ReferenceScores(52.0, 3035.0),
    "Krull": ReferenceScores(1598.0, 2665.5),
    "KungFuMaster": ReferenceScores(258.5, 22736.3),
    "MsPacman": ReferenceScores(307.3, 6951.6),
    "Pong": ReferenceScores(-20.7, 14.6),
    "PrivateEye": ReferenceScores(24.9, 69571.3),
    "Qbert": ReferenceScores(163.9, 13455.0),
    "RoadRunner": ReferenceScores(11.5, 7845.0),
    "Seaquest": ReferenceScores(68.4, 42054.7),
    "UpNDown": ReferenceScores(533.4, 11693.2),
}


def human_normalised(game: AtariGame, score: float) -> float:
    """0 at the score of random play, 1 at that of a human."""
    reference = REFERENCE_SCORES[game.name]
    return (score - reference.random) / (reference.human - reference.random)
