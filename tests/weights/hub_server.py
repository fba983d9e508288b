"""A hub on this machine: serves a folder over HTTP with the addresses and headers of the Hugging Face hub."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from weights.manifest import REPOSITORY, REVISION


class LocalHub:
    """Serves ``folder``, laid out as the repository is, and counts what was downloaded.

    It is that of the published weights, or of a data set at a revision. Paths in ``damaged`` are sent with their first
    byte changed, so that their size is right and their hash is not.
    """

    def __init__(self, folder: Path, data_set: tuple[str, str] | None = None) -> None:
        repository, revision = data_set or (REPOSITORY, REVISION)
        kind = "datasets/" if data_set else ""
        self.folder = folder
        self.revision = revision
        self.files_at = f"/{kind}{repository}/resolve/{revision}/"
        self.list_at = f"/api/{kind or 'models/'}{repository}/tree/{revision}"
        self.damaged: set[str] = set()
        self.downloads: list[str] = []
        self.ranges: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def endpoint(self) -> str:
        """For ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "LocalHub":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._send()

            def do_GET(self) -> None:
                if self.path.partition("?")[0] == hub.list_at:
                    self._list()
                    return
                name, content = self._send()
                self.wfile.write(bytes([content[0] ^ 255]) + content[1:] if name in hub.damaged else content)

            def _list(self) -> None:
                files = sorted(path for path in hub.folder.rglob("*") if path.is_file())
                content = json.dumps([_listed(path, hub.folder) for path in files]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _send(self) -> tuple[str, bytes]:
                name = self.path.removeprefix(hub.files_at)
                path = hub.folder / name
                found = self.path.startswith(hub.files_at) and path.is_file()
                if found and self.command == "GET":
                    hub.downloads.append(name)
                whole = path.read_bytes() if found else b"Entry not found"
                begin = self._begin() if found else 0
                content = whole[begin:]
                self.send_response((206 if begin else 200) if found else 404)
                if not found:
                    self.send_header("X-Error-Code", "EntryNotFound")
                if begin:
                    self.send_header("Content-Range", f"bytes {begin}-{len(whole) - 1}/{len(whole)}")
                digest = hashlib.sha256(whole).hexdigest()
                for header, value in (
                    ("X-Repo-Commit", hub.revision),
                    ("ETag", f'"{digest}"'),
                    ("X-Linked-ETag", f'"{digest}"'),
                    ("X-Linked-Size", str(len(whole))),
                    ("Content-Length", str(len(content))),
                ):
                    self.send_header(header, value)
                self.end_headers()
                return name, content

            def _begin(self) -> int:
                """First byte that is asked for."""
                asked = self.headers.get("Range")
                if asked is None:
                    return 0
                hub.ranges.append(asked)
                return int(asked.removeprefix("bytes=").partition("-")[0])

            def log_message(self, format: str, *args: object) -> None:
                """Keeps the test output clean."""

        return Handler


def _listed(path: Path, folder: Path) -> dict[str, object]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    lfs = {"oid": digest, "size": len(content), "pointerSize": 134}
    return {
        "type": "file",
        "path": path.relative_to(folder).as_posix(),
        "size": len(content),
        "oid": digest[:40],
        **({"lfs": lfs} if path.suffix == ".tar" else {}),
    }


def run_python(code: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh process: ``huggingface_hub`` reads its environment when it is imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, "HF_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
