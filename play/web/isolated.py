"""Serves the folder it lies in, or a given one, isolated from other sites so that pages may use threads.

python serve.py [PORT]
"""

import sys
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder, isolated from other sites."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }

    def end_headers(self) -> None:
        """Adds the headers to every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


def make_server(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server of a folder; port 0 takes any free one. Raises ``OSError`` if it cannot listen."""
    return ThreadingHTTPServer((host, port), partial(Handler, directory=str(folder)))


if __name__ == "__main__":
    with make_server(Path(__file__).parent, "127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000) as server:
        print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C stops)")
        with suppress(KeyboardInterrupt):
            server.serve_forever()
