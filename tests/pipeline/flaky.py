"""A web server on loopback that serves a folder, and fails as often and in the way it is told."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

REFUSED = {"forbidden": 403, "missing": 404, "busy": 503, "throttled": 429, "broken": 500}


class Flaky:
    """What the server is to do, and what it was asked for."""

    def __init__(self, folder: Path, ranges: bool = True) -> None:
        self.folder, self.ranges = folder, ranges
        self.failures: dict[str, list[str]] = {}
        """By path: how its next GET requests fail: a word of `REFUSED`, "reset", "short" (half of the body) or "other"
        (a changed bit)."""
        self.gets: Counter[str] = Counter()
        """GET requests by path."""
        self.url = ""
        self.lock = threading.Lock()


@contextmanager
def flaky_server(folder: Path, ranges: bool = True) -> Iterator[Flaky]:
    """Serve ``folder``; ``ranges`` says whether the server knows them."""
    told = Flaky(folder, ranges)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(None)

        def do_GET(self) -> None:
            with told.lock:
                told.gets[self.path] += 1
                left = told.failures.get(self.path)
                how = left.pop(0) if left else None
            self._answer(how)

        def _answer(self, how: str | None) -> None:
            file = told.folder / unquote(self.path).lstrip("/")
            if how == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
                return
            if how in REFUSED or not file.exists():
                self._send(REFUSED.get(how or "missing", 404), b"")
                return
            if file.is_dir():
                names = [name.name + "/" * name.is_dir() for name in sorted(file.iterdir())]
                page = "".join(f'<a href="{name}">{name}</a>' for name in names).encode()
                self._send(200, page, kind="text/html")
                return
            data = file.read_bytes()
            status, headers = 200, {}
            wanted = self.headers.get("Range") if told.ranges else None
            if wanted:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start, stop = int(first), min(int(last) + 1 if last else len(data), len(data))
                headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
                status, data = 206, data[start:stop]
            if how == "other":
                data = data[:-1] + bytes([data[-1] ^ 1])
            self._send(status, data, short=how == "short", **headers)

        def _send(self, status: int, data: bytes, short: bool = False, kind: str = "", **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", kind or "application/octet-stream")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data[: len(data) // 2] if short else data)
            if short:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # a client that is gone
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
