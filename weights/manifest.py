"""The files that the authors of the paper published on the Hugging Face hub, at one pinned revision."""

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
    """Approximate size."""
    sha256: str | None = None
    """Its SHA-256 if known beforehand; else the one that the hub states for this revision is used."""
    repository: str = REPOSITORY
    """Repository on the hub."""
    revision: str = REVISION
    """Commit of the repository."""

    @property
    def url(self) -> str:
        """URL of the download."""
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


@dataclass(frozen=True)
class Published:
    """The published files of one world."""

    checkpoint: HubFile
    """The weights, a ``.pt``."""
    spawns: tuple[HubFile, ...] = ()
    """Files of the start contexts, if published with it."""

    @property
    def files(self) -> tuple[HubFile, ...]:
        """All files, the checkpoint first."""
        return self.checkpoint, *self.spawns

    @property
    def size_bytes(self) -> int:
        """Approximate size of all files."""
        return sum(file.size_bytes for file in self.files)


CSGO = Published(
    checkpoint=HubFile(
        "csgo/model/csgo.pt", 1_526_844_223, "9a56a599cec69863717001660871418af1ac3598762167a5cbda73076951bcb6"
    ),
    spawns=tuple(
        HubFile(f"csgo/spawn/{spawn}/{name}.npy", size)
        for spawn in range(7)
        for name, size in (("low_res", 20_288), ("full_res", 504_128), ("act", 332), ("next_act", 10_328))
    ),
)

MANIFEST = {
    "csgo": CSGO,
    **{f"atari/{game}": Published(HubFile(f"atari_100k/models/{game}.pt", 54_000_000)) for game in ATARI_100K_GAMES},
}
"""The published files of every world, by name."""
