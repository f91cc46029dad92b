"""An upstream in the test's own process that answers what the test has put down, and keeps what came in."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Came:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]  # by lower-case name
    body: bytes


@dataclass
class Scripted:
    """The server. Set `status`, `headers`, `pieces` and `breaks` as the next answers shall be."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Sequence[bytes] = (b"{}",)  # sent one by one
    breaks: bool = False  # the connection breaks after the pieces
    came: list[Came] = field(default_factory=list)

    def answer(
        self,
        *pieces: bytes,
        status: int = 200,
        breaks: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Put down what to answer from now on, and forget what came."""
        self.status, self.pieces, self.breaks, self.headers = status, pieces, breaks, dict(headers or {})
        self.came.clear()


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Run one on a free port."""
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.came.append(Came(self.path, headers, self.rfile.read(length)))
            self.send_response(script.status)
            sent = {"Content-Type": "application/json"} | script.headers | {"Connection": "close"}
            if not script.breaks and "event-stream" not in sent["Content-Type"]:
                sent["Content-Length"] = str(sum(map(len, script.pieces)))
            elif script.breaks:
                sent["Content-Length"] = "1000000"
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in script.pieces:
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
