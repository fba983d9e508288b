"""What the authors of the paper published on the Hugging Face hub, at one pinned revision."""

from __future__ import annotations

from dataclasses import dataclass

REPOSITORY = "eloialonso/diamond"
REVISION = "5d4abca9af6ab1b3ab1c6fc228cacb7281130f7f"
LICENCE = "none stated by the hub repository"


@dataclass(frozen=True)
class HubFile:
    """One published file."""

    path: str
    """Path inside the repository, such as ``atari_100k/models/Pong.pt``."""
    size_bytes: int
    """About how large it is."""
    sha256: str | None = None
    """Its SHA-256 where known beforehand; otherwise the one that the hub states for this revision counts."""
    repository: str = REPOSITORY
    """Repository on the hub."""
    revision: str = REVISION
    """Commit of the repository."""

    @property
    def url(self) -> str:
        """Where a person can download it."""
        return f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.path}"


ATARI_100K_GAMES = (
    "Alien",
    "Amidar",
    "Assault",
    "Asterix",
    "BankHeist",
    "BattleZone",
    "Boxing",
    "Breakout",
    "ChopperCommand",
    "CrazyClimber",
    "DemonAttack",
    "Freeway",
    "Frostbite",
    "Gopher",
    "Hero",
    "Jamesbond",
    "Kangaroo",
    "Krull",
    "KungFuMaster",
    "MsPacman",
    "Pong",
    "PrivateEye",
    "Qbert",
    "RoadRunner",
    "Seaquest",
    "UpNDown",
)

MANIFEST = {f"atari/{game}": HubFile(f"atari_100k/models/{game}.pt", 54_000_000) for game in ATARI_100K_GAMES}
"""Published checkpoint of every world by the world's name."""
