"""Server-sent events, as upstreams really send them: cut into whole events, looked at, otherwise untouched.

Clients' parsers want one JSON object per `data:` line (huggingface_hub joins no lines), and so do we.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

_END = re.compile(rb"\r?\n\r?\n")
MOST_EVENT_BYTES = 256 * 1024
_LINE_FEEDS = 2  # of an event with one line
_NO_USAGE = (b'"usage":null', b'"usage": null')
_WITHOUT_DATA = (b":", b"event:", b"id:", b"retry:")


class GarbledStream(ValueError):
    """The upstream sends something that is no stream of events."""


class Splitter:
    """Cuts incoming bytes into whole events, delimiter included."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that are complete now. GarbledStream if one grows past all measure."""
        buffer = self._rest + piece
        events, start = [], 0
        for match in _END.finditer(buffer):
            events.append(buffer[start : match.end()])
            start = match.end()
        self._rest = buffer[start:]
        if len(self._rest) > MOST_EVENT_BYTES:
            raise GarbledStream("An event is larger than any client would take.")
        return events

    def rest(self) -> bytes:
        """Return what came after the last whole event."""
        return self._rest

    def plain_events(self, piece: bytes) -> int:
        """Return how many events the next piece is, if it is whole events in which nothing is to be read; else 0.

        As nearly all pieces are. `feed` and `look` would find the same, for several times as much; a piece that is
        plain need not be fed.
        """
        if self._rest or not (piece.startswith(b"data: {") and piece.endswith(b"}\n\n")) or may_matter(piece):
            return 0
        events = piece.count(b"\n\ndata: {") + 1
        return events if piece.count(b"\n") == _LINE_FEEDS * events else 0


def may_matter(data: bytes) -> bool:
    """Tell whether usage or an error may be in it. Many upstreams write `"usage":null` into each chunk but the last."""
    if b'"error"' in data or b'"details"' in data:
        return True
    return b'"usage"' in data and data.count(b'"usage"') != sum(map(data.count, _NO_USAGE))


@dataclass(frozen=True, slots=True)
class Event:
    """One event, looked at as far as metering needs it."""

    is_done: bool = False
    is_comment: bool = False
    document: dict[str, Any] | None = None  # parsed only where usage or an error may be in it


_PIECE = Event()


def look(event: bytes) -> Event:
    """Read an event. GarbledStream if its data is not a JSON object."""
    data = _data(event)
    if data is None:
        if not all(line.startswith(_WITHOUT_DATA) for line in event.splitlines() if line):
            raise GarbledStream("Something that is no line of an event came.")
        return Event(is_comment=True)
    if data == b"[DONE]":
        return Event(is_done=True)
    if not data.startswith(b"{"):
        raise GarbledStream("An event carries no JSON object.")
    if may_matter(data):
        return Event(document=_parse(data))
    return _PIECE


def _parse(data: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise GarbledStream("An event carries broken JSON.") from None
    return document


def _data(event: bytes) -> bytes | None:
    """Return the text of the event's data line, or None for comments and nameless lines."""
    if (
        event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2
    ):  # as nearly all are: one line, one feed
        return event[6:-2].strip()
    for line in event.splitlines():
        if line.startswith(b"data:"):
            return line[5:].strip()
    return None


def encode(document: dict[str, Any]) -> bytes:
    """Return an event of our own."""
    return b"data: " + orjson.dumps(document) + b"\n\n"
