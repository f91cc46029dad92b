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

    def is_plain(self, piece: bytes) -> bool:
        """Tell whether the next piece is just one event in which nothing is to be read, as nearly all are.

        `feed` and `look` would find the same, for several times as much; a piece that is plain need not be fed.
        """
        return (
            not self._rest
            and piece.startswith(b"data: {")
            and piece.endswith(b"\n\n")
            and piece.count(b"\n") == _LINE_FEEDS
            and not (b'"usage"' in piece or b'"error"' in piece or b'"details"' in piece)
        )


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
    if b'"usage"' in data or b'"error"' in data or b'"details"' in data:
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
