"""Downloads the CS:GO data set from the hub, at the pinned revision; an interrupted download is continued."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rich.console import Console

from diamond_engine.errors import DiamondError
from training.runs.lock import alone_in
from weights.checksums import sha256

REPOSITORY = "TeaPearce/CounterStrike_Deathmatch"
REVISION = "265c6e5ac7aa335f58a2f2e864aad176fecfedde"
TAR = re.compile(r"hdf5_dm_july2021_(\d+)_to_\d+\.tar")


@dataclass(frozen=True)
class Tar:
    """One tar on the hub."""

    path: str
    """In the repository."""
    size: int
    sha256: str | None
    """SHA-256 that the hub states."""

    @property
    def name(self) -> str:
        """Its file name."""
        return PurePosixPath(self.path).name


def download(out: Path, first: int | None, console: Console) -> None:
    """Downloads the (``first``) tars that are not in ``out`` yet. Partial files are kept when it stops.

    Raises ``DiamondError`` if the disk is too small, the hub cannot be reached, or a tar arrives damaged.
    """
    tars = listed()[:first]
    out.mkdir(parents=True, exist_ok=True)
    with alone_in(out):
        missing = [tar for tar in tars if not (out / tar.name).exists()]
        sizes = sum(tar.size for tar in tars), sum(tar.size - _arrived(out, tar) for tar in missing)
        console.print(
            f"{len(tars)} tars, {sizes[0] / 1e9:.1f} GB from huggingface.co/datasets/{REPOSITORY}; "
            f"{sizes[1] / 1e9:.1f} GB of them still to download to {out}"
        )
        free = shutil.disk_usage(out).free
        if free < sizes[1]:
            raise DiamondError(
                f"{out} has {free / 1e9:.1f} GB free, {sizes[1] / 1e9:.1f} GB are needed: use another disk, "
                "or --first for some of the tars"
            )
        for tar in missing:
            _fetch(out, tar)
        console.print(f"{out} holds {len(tars)} tars: 'diamond-train csgo-data prepare {out} OUT' comes next")


def listed() -> list[Tar]:
    """The tars on the hub, in order. Raises ``DiamondError`` if it cannot be reached or has none."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it retries by itself: only the final outcome counts
    with _reaching():
        tree = HfApi().list_repo_tree(REPOSITORY, recursive=True, revision=REVISION, repo_type="dataset", token=False)
        files = [file for file in tree if isinstance(file, RepoFile)]
    tars = [Tar(file.path, file.size, file.lfs.sha256 if file.lfs else None) for file in files]
    numbered = {int(match[1]): tar for tar in tars if (match := TAR.fullmatch(tar.name))}
    if not numbered:
        raise DiamondError(f"the hub has no tars in {REPOSITORY}")
    return [numbered[number] for number in sorted(numbered)]


def _part(out: Path, tar: Tar) -> Path:
    return out / f".{tar.name}.part"


def _arrived(out: Path, tar: Tar) -> int:
    part = _part(out, tar)
    return part.stat().st_size if part.exists() else 0


def _fetch(out: Path, tar: Tar) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    part = _part(out, tar)
    if _arrived(out, tar) > tar.size:
        part.unlink()
    url = hf_hub_url(REPOSITORY, tar.path, revision=REVISION, repo_type="dataset")
    with _reaching(), part.open("ab") as file:
        http_get(
            url,
            file,
            resume_size=file.tell(),
            headers=build_hf_headers(token=False),
            expected_size=tar.size,
            displayed_filename=tar.name,
        )
    if tar.sha256 is not None and sha256(part) != tar.sha256:
        part.unlink()
        raise DiamondError(f"{tar.name} arrived damaged and was deleted: run the same command again")
    part.replace(out / tar.name)


@contextmanager
def _reaching() -> Iterator[None]:
    """Errors of the hub's library become one line; errors of a full disk are passed on."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC or (error.errno is not None and error.filename is not None):
            raise
        raise _unreachable(error) from error
    except Exception as error:  # its HTTP library changes by version
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> DiamondError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return DiamondError(f"the download stopped ({reason}): what arrived is kept, run the same command again")
