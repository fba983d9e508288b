"""onnxruntime-web: only the known files are taken, wherever they come from."""

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from diamond_engine.errors import DiamondError
from play.web.runtime import BACKENDS, VERSION, runtime_files

NAMES = [name for known in BACKENDS.values() for name in known]


@contextmanager
def registry(answer: bytes | None) -> Iterator[str]:
    """A registry of one answer, or of none."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if answer is None else 200)
            self.end_headers()
            self.wfile.write(answer or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def package(content: bytes) -> bytes:
    """An archive that has all files, with the same content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in NAMES:
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, "cannot download"), (b"no archive", "arrived damaged"), (package(b"others"), "arrived damaged")],
    ids=["missing", "no archive", "other files"],
)
def test_a_bad_download_leaves_nothing(
    answer: bytes | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path))
    told: list[str] = []
    with registry(answer) as address:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", address)
        with pytest.raises(DiamondError, match=reason):
            runtime_files(None, told.append)
    assert "33 MB" in told[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_given_folder_must_hold_this_version(tmp_path: Path) -> None:
    with pytest.raises(DiamondError, match=r"has no ort\.wasm\.min\.mjs"):
        runtime_files(tmp_path, print)
    (tmp_path / "dist").mkdir()
    for name in NAMES:
        (tmp_path / "dist" / name).write_text("of another version")
    with pytest.raises(DiamondError, match=r"is not that of onnxruntime-web"):
        runtime_files(tmp_path, print)


def test_what_was_damaged_in_the_cache_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIAMOND_CACHE", str(tmp_path))
    folder = tmp_path / f"onnxruntime-web-{VERSION}"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text("damaged")
    with pytest.raises(DiamondError, match="remove it and try again"):
        runtime_files(None, print)
