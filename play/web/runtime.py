"""``onnxruntime-web``, which runs networks in a browser: one version from npm, every file checked by its SHA-256."""

from __future__ import annotations

import io
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from diamond_engine.cache import cache_folder
from diamond_engine.errors import DiamondError
from diamond_engine.files import atomic_path

VERSION = "1.30.0"
ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
MEGABYTES = 33
"""Size of the archive."""
WASM = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
WEBGPU = {
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
BACKENDS: Mapping[str, Mapping[str, str]] = {"wasm": WASM, "webgpu": WEBGPU}
"""The files of each backend and their SHA-256."""
REGISTRY = "https://registry.npmjs.org"
TIMEOUT_SECONDS = 60.0


def runtime_files(folder: Path | None, notice: Callable[[str], None]) -> dict[str, Path]:
    """Returns all files by name, checked: from ``folder``, else from the cache, into which they are downloaded once.

    ``folder``: an unpacked package, or its ``dist``. Raises ``DiamondError`` if a file is missing, damaged or of
    another version, or cannot be downloaded.
    """
    if folder is not None:
        return _found((folder, folder / "dist", folder / "package" / "dist"))
    kept = cache_folder() / f"onnxruntime-web-{VERSION}"
    if not all((kept / name).is_file() for files in BACKENDS.values() for name in files):
        notice(f"downloading onnxruntime-web {VERSION} from npm once: {MEGABYTES} MB, MIT licence")
        _unpack(_downloaded(), kept)
    return _found((kept,))


def _found(folders: tuple[Path, ...]) -> dict[str, Path]:
    found = {}
    for name, digest in (item for files in BACKENDS.values() for item in files.items()):
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            raise DiamondError(f"{folders[0]} has no {name}: unpack onnxruntime-web {VERSION} from npm there")
        if sha256(path.read_bytes()).hexdigest() != digest:
            raise DiamondError(f"{path} is not that of onnxruntime-web {VERSION}: remove it and try again")
        found[name] = path
    return found


def _downloaded() -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
    address = f"{registry}/onnxruntime-web/-/{ARCHIVE}"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            return response.read()
    except (urllib.error.URLError, TimeoutError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        line = f"cannot download {address} ({reason}): unpack it yourself and pass --runtime DIR"
        raise DiamondError(line) from error


def _unpack(archive: bytes, folder: Path) -> None:
    """Writes the known files of the package and leaves out those with a wrong SHA-256."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as package:
            for name, digest in (item for files in BACKENDS.values() for item in files.items()):
                member = package.extractfile(f"package/dist/{name}")
                content = b"" if member is None else member.read()
                if sha256(content).hexdigest() != digest:
                    raise DiamondError(f"{ARCHIVE} arrived damaged ({name} is not the known one): try again later")
                with atomic_path(folder / name) as temporary:
                    temporary.write_bytes(content)
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise DiamondError(f"{ARCHIVE} arrived damaged: try again later") from error
