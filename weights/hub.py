"""Published files: from the standard cache of ``huggingface_hub``, or downloaded into it, and checked by SHA-256."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from weights.checksums import sha256
from weights.errors import WeightsError
from weights.manifest import HubFile

Notice = Callable[[str], None]
"""Called with one line before a slow step begins."""


class UnreachableError(WeightsError):
    """A published file is not in the cache and cannot be downloaded."""


def to_stderr(line: str) -> None:
    """Prints a notice to stderr."""
    print(line, file=sys.stderr, flush=True)


def cached(file: HubFile) -> Path | None:
    """The file in the cache, unchecked; None if it is not there. Uses no network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(file.repository, file.path, revision=file.revision)
    return Path(path) if isinstance(path, str) else None


def fetch(file: HubFile, before: Callable[[], None] | None = None) -> Path:
    """Returns the file with its SHA-256 checked. Downloads it, with a progress bar, if the cache has no intact copy.

    ``before`` is called when the hub has answered and a download begins. Raises ``UnreachableError`` if the file can
    be neither found nor downloaded, ``WeightsError`` if it arrives damaged.
    """
    path = cached(file)
    if path is not None and _is_intact(file, path):
        return path
    path, stated = _download(file, path is not None, before)
    if sha256(path) != (file.sha256 or stated):
        if not path.is_symlink():
            path.unlink()  # without links in the cache a damaged copy could not be recognised later
        raise WeightsError(f"{file.url} arrived damaged (its SHA-256 is not the published one): try again later")
    return path


def _is_intact(file: HubFile, path: Path) -> bool:
    """The cache links to content named by the hub's SHA-256. Without links, ``fetch`` has checked the file."""
    expected = file.sha256 or (path.readlink().name if path.is_symlink() else None)
    return expected is None or sha256(path) == expected


def _download(file: HubFile, again: bool, before: Callable[[], None] | None) -> tuple[Path, str | None]:
    """The downloaded file and the SHA-256 that the hub states for it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        url = hf_hub_url(file.repository, file.path, revision=file.revision)
        stated = get_hf_file_metadata(url, token=False).etag
        if before is not None:
            before()
        path = hf_hub_download(file.repository, file.path, revision=file.revision, token=False, force_download=again)
    except Exception as error:  # errors of its HTTP library are passed through, and that library changes by version
        raise UnreachableError(f"cannot download {file.path} from the hub ({_reason(error)})") from error
    return Path(path), stated


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, (errors.EntryNotFoundError, errors.RevisionNotFoundError, errors.RepositoryNotFoundError)):
        return "it is not there"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the hub answered {error.response.status_code}"
    return str(error).partition("\n")[0] or type(error).__name__
