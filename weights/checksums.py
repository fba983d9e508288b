"""SHA-256 of files and folders: bundled worlds are checked against their ``SHA256SUMS``."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from weights.errors import WeightsError

CHECKSUMS = "SHA256SUMS"


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> Path:
    """Writes ``SHA256SUMS`` (as ``sha256sum`` does) for the files of a world folder and returns its path.

    Raises ``WeightsError`` if the folder holds no world or cannot be written to.
    """
    if not (folder / "world.yaml").is_file():
        raise WeightsError(f"{folder} holds no world.yaml: give the folder of a world")
    path, temporary = folder / CHECKSUMS, folder / f".{CHECKSUMS}.part"
    lines = "".join(f"{sha256(folder / name)}  {name}\n" for name in sorted(_files(folder)))
    try:
        temporary.write_text(lines, "utf-8")
        return temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise WeightsError(f"cannot write {path}: {error.strerror}") from error


def check_checksums(folder: Path) -> None:
    """Raises ``WeightsError`` naming the first file that is missing, altered, or not listed in ``SHA256SUMS``."""
    stated = _read_checksums(folder / CHECKSUMS)
    found = _files(folder)
    for name in sorted(stated.keys() | found):
        if name not in found:
            problem = "is missing"
        elif name not in stated:
            problem = f"is not listed in {CHECKSUMS}"
        elif sha256(folder / name) != stated[name]:
            problem = "was altered (its SHA-256 differs)"
        else:
            continue
        raise WeightsError(f"bundled file {folder / name} {problem}: reinstall diamond-engine")


def _files(folder: Path) -> set[str]:
    return {
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name != CHECKSUMS and not path.name.startswith(".")
    }


def _read_checksums(path: Path) -> dict[str, str]:
    try:
        rows = [line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line]
        return {name.removeprefix("*"): digest for digest, name in rows}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is missing or damaged: reinstall diamond-engine") from error
