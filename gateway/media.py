"""What is in a file that a customer sends or gets: how long it sounds, whether it is what it claims to be."""

import struct
from collections.abc import Sequence
from email.message import Message
from email.parser import BytesParser

MICRO = 1_000_000
# The rule for sound whose header does not say how long it is: 128 kbit/s, as most speech files have at most.
BYTES_PER_SECOND = 16_000
# No speech codec in use goes below 8 kbit/s: what a file may hold at most.
FEWEST_BYTES_PER_SECOND = 1_000
# How files begin, and what they are then: (offset, bytes, type).
_BEGINNINGS: Sequence[tuple[int, bytes, str]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (4, b"ftypM4A", "audio/mp4"),
    (0, b"#!AMR", "audio/amr"),
    (8, b"AIFF", "audio/aiff"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)


def kind_of(data: bytes) -> str:
    """Return the media type that a file's first bytes show, or ""."""
    for offset, beginning, kind in _BEGINNINGS:
        if data.startswith(beginning, offset):
            return kind
    # MPEG audio without a tag: eleven set bits, then a layer and a rate that exist (ISO 11172-3, 2.4.1.3).
    frame = len(data) > 3 and data[0] == 0xFF and data[1] & 0xE6 > 0xE0 and data[2] & 0xF0 < 0xF0
    return "audio/mpeg" if frame else ""


def audio_microseconds(data: bytes) -> tuple[int, bool]:
    """Return (length in microseconds, whether that is an estimate). WAV and FLAC say it in their header."""
    exact = _wav(data) if data[:4] == b"RIFF" else _flac(data) if data[:4] == b"fLaC" else None
    if exact is not None and 0 <= exact <= len(data) // FEWEST_BYTES_PER_SECOND * MICRO + MICRO:
        return exact, False
    return len(data) * MICRO // BYTES_PER_SECOND, True


def _wav(data: bytes) -> int | None:
    """RIFF: the `fmt ` chunk has the bytes a second, the `data` chunk its size."""
    position, rate = 12, 0
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if name == b"fmt " and position + 24 <= len(data):
            rate = _wav_rate(data, position + 8)
        if name == b"data":
            rest = len(data) - position - 8
            size = min(size, rest) or rest  # writers that stream put 0 or 0xFFFFFFFF there; players read on
            return size * MICRO // rate if rate else None
        position += 8 + size + size % 2
    return None


def _wav_rate(data: bytes, position: int) -> int:
    """Bytes a second. For plain samples from what players go by; its own field may say anything."""
    form, channels, samples, said, _align, bits = struct.unpack_from("<HHIIHH", data, position)
    plain = form in (1, 3, 0xFFFE)
    return int(samples * channels * bits // 8 if plain else said)


def _flac(data: bytes) -> int | None:
    """STREAMINFO, the first block: 20 bits of sample rate, 3 of channels, 5 of bits, 36 of samples (RFC 9639, 8.2)."""
    if len(data) < 26:
        return None
    word = int.from_bytes(data[18:26], "big")
    rate, samples = word >> 44, word & 0xFFFFFFFFF
    if not rate or not samples:
        return None
    frame = ((word >> 41 & 7) + 1) * ((word >> 36 & 31) + 1)  # bits of all channels at once
    if (
        len(data) > samples * frame // 8 * 2 + 65_536
    ):  # more than it can take: players read on past what it says
        return None
    return samples * MICRO // rate


def form_fields(body: bytes, content_type: str) -> dict[str, bytes]:
    """Return the fields of a multipart/form-data body (RFC 7578). ValueError if it is not one."""
    message: Message = BytesParser().parsebytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body
    )
    if not message.is_multipart():
        raise ValueError("not a multipart form")
    fields = {}
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition") if isinstance(part, Message) else None
        if isinstance(name, str) and isinstance(part, Message):
            content = part.get_payload(decode=True)
            fields[name] = content if isinstance(content, bytes) else b""
    return fields
