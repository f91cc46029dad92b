"""An upstream that answers with one recorded exchange after another, and keeps what it was asked."""

import base64
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# What a recorded answer's own transport said; this server has its own.
_OF_TRANSPORT = ("transfer-encoding", "content-encoding", "content-length", "connection", "date", "server")
# What the gateway may not pass on; sent with every answer, to see that it does not.
HOSTILE = {
    "Set-Cookie": "session=the-operators-own",
    "X-Powered-By": "somebody",
    "X-Request-Id": "the-upstreams",
}


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer."""

    id: str
    url: str
    request_headers: Mapping[str, str]
    request_body: bytes | None  # None: it was not recorded
    status: int
    response_headers: Mapping[str, str]
    response_body: bytes

    @property
    def path(self) -> str:
        """The path at Hugging Face."""
        return urlsplit(self.url).path

    @property
    def streams(self) -> bool:
        """Tell whether the answer is a stream of events."""
        return self.response_headers.get("content-type", "").startswith("text/event-stream")


@dataclass
class Asked:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Replay:
    """The running upstream. Put an exchange in before a call, look at `asked` after it."""

    exchange: Exchange | None = None
    asked: list[Asked] = field(default_factory=list)
    url: str = ""


def recordings_path() -> Path:
    """Where the large collection lies: TURNPIKE_RECORDINGS, or `shared/recordings` beside the checkout."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "recordings" / "hf-inference.jsonl"
    return Path(os.environ.get("TURNPIKE_RECORDINGS") or beside)


def read_exchanges(path: Path) -> list[Exchange]:
    """Read a file with one exchange as JSON on each line. Binary bodies are {"base64": …}."""
    return [_exchange(json.loads(line)) for line in path.read_text().splitlines() if line.strip()]


def serve(replay: Replay) -> ThreadingHTTPServer:
    """Start answering, in a thread, on a free port of this machine. Shut it down when done."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            replay.asked.append(Asked(self.path, headers, body))
            assert replay.exchange is not None
            self.send_response(replay.exchange.status)
            for name, value in replay.exchange.response_headers.items():
                if name.lower() not in (*_OF_TRANSPORT, "set-cookie", "x-request-id"):
                    self.send_header(name, value)
            for name, value in HOSTILE.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(replay.exchange.response_body)))
            self.end_headers()
            self.wfile.write(replay.exchange.response_body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    replay.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _exchange(row: dict[str, Any]) -> Exchange:
    body = row["request_body"]
    return Exchange(
        id=row["id"],
        url=row["url"],
        request_headers={name.lower(): value for name, value in row["request_headers"].items()},
        request_body=None if body is None else _bytes(body),
        status=row["status"],
        response_headers={name.lower(): value for name, value in row["response_headers"].items()},
        response_body=_bytes(row["response_body"]),
    )


def _bytes(body: str | dict[str, str]) -> bytes:
    return base64.b64decode(body["base64"]) if isinstance(body, dict) else body.encode()
