"""A hub on this machine: serves a folder over HTTP with the addresses and headers of the Hugging Face hub."""

import hashlib
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

    Paths in ``damaged`` are sent with their first byte changed, so that their size is right and their hash is not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: set[str] = set()
        self.downloads: list[str] = []
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
            prefix = f"/{REPOSITORY}/resolve/{REVISION}/"

            def do_HEAD(self) -> None:
                self._send()

            def do_GET(self) -> None:
                name, content = self._send()
                self.wfile.write(bytes([content[0] ^ 255]) + content[1:] if name in hub.damaged else content)

            def _send(self) -> tuple[str, bytes]:
                name = self.path.removeprefix(self.prefix)
                path = hub.folder / name
                found = self.path.startswith(self.prefix) and path.is_file()
                if found and self.command == "GET":
                    hub.downloads.append(name)
                content = path.read_bytes() if found else b"Entry not found"
                self.send_response(200 if found else 404)
                if not found:
                    self.send_header("X-Error-Code", "EntryNotFound")
                digest = hashlib.sha256(content).hexdigest()
                for header, value in (
                    ("X-Repo-Commit", REVISION),
                    ("ETag", f'"{digest}"'),
                    ("X-Linked-ETag", f'"{digest}"'),
                    ("X-Linked-Size", str(len(content))),
                    ("Content-Length", str(len(content))),
                ):
                    self.send_header(header, value)
                self.end_headers()
                return name, content

            def log_message(self, format: str, *args: object) -> None:
                """Keeps the test output clean."""

        return Handler


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
