"""How long sound is, what a file is, and what a form holds: exact where the file says it, never a crash."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import Unit
from gateway import media
from gateway.errors import Refusal
from gateway.measures import measure
from tests.fakes.hf_tasks import picture, sound

SECOND = 1_000_000


def flac(rate: int = 16_000, samples: int = 40_000, audio: int = 2_000) -> bytes:
    """A FLAC of one channel and 16 bits: its STREAMINFO, and so many bytes after it."""
    word = rate << 44 | 0 << 41 | 15 << 36 | samples
    info = struct.pack(">HH", 4096, 4096) + b"\0" * 6 + word.to_bytes(8, "big") + b"\0" * 16
    return b"fLaC" + b"\x80\0\0\x22" + info + b"\0" * audio


def with_field(wav: bytes, offset: int, form: str, value: int) -> bytes:
    return wav[:offset] + struct.pack(form, value) + wav[offset + struct.calcsize(form) :]


@pytest.mark.parametrize("milliseconds", [0, 1, 500, 61_234])
def test_a_wav_is_as_long_as_it_says(milliseconds: int) -> None:
    assert media.audio_microseconds(sound(milliseconds)) == (milliseconds * 1000, False)


def test_a_wav_with_other_chunks_before_its_sound_is_exact() -> None:
    plain = sound(750)
    listed = plain[:36] + struct.pack("<4sI", b"LIST", 5) + b"hello\0" + plain[36:]
    assert media.audio_microseconds(listed) == (750_000, False)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_that_was_streamed_is_as_long_as_its_bytes(size: int) -> None:
    assert media.audio_microseconds(with_field(sound(750), 40, "<I", size)) == (750_000, False)


def test_mallorys_wav_is_not_shorter_for_a_byte_rate_that_no_player_reads() -> None:
    assert media.audio_microseconds(with_field(sound(5000), 28, "<I", 0xFFFFFFFF)) == (5 * SECOND, False)


def test_a_flac_is_as_long_as_it_says() -> None:
    assert media.audio_microseconds(flac(16_000, 40_000)) == (2_500_000, False)


def test_mallorys_flac_that_claims_a_single_sample_is_estimated() -> None:
    length, estimated = media.audio_microseconds(flac(samples=1, audio=1_600_000))
    assert estimated
    assert length == pytest.approx(100 * SECOND, rel=0.01)


def test_a_flac_that_claims_to_last_for_years_is_estimated() -> None:
    assert media.audio_microseconds(flac(1, 2**36 - 1)) == (len(flac()) * SECOND // 16_000, True)


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"fLaC", b"ID3" + b"x" * 31_997, b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"]
)
def test_what_does_not_say_its_length_is_estimated_by_its_bytes(data: bytes) -> None:
    assert media.audio_microseconds(data) == (len(data) * SECOND // 16_000, True)


@given(st.binary(max_size=200), st.sampled_from([b"", b"RIFF\0\0\0\0WAVEfmt ", b"fLaC", sound(20), flac()]))
def test_no_bytes_crash_and_no_length_is_absurd(tail: bytes, head: bytes) -> None:
    data = head + tail
    length, _ = media.audio_microseconds(data)
    assert 0 <= length <= (len(data) // media.FEWEST_BYTES_PER_SECOND + 1) * SECOND
    assert isinstance(media.kind_of(data), str)


@given(st.integers(0, 43), st.binary(min_size=1, max_size=8))
def test_a_broken_header_never_crashes(position: int, damage: bytes) -> None:
    data = sound(20)
    length, _ = media.audio_microseconds(data[:position] + damage + data[position + len(damage) :])
    assert length >= 0


@pytest.mark.parametrize(
    ("data", "kind"),
    [(picture(), "image/png"), (sound(1), "audio/wav"), (flac(), "audio/flac"), (b"\xff\xd8\xff\xe0", "image/jpeg"),
     (b"ID3\x04", "audio/mpeg"), (b"\xff\xfb\x90\x00", "audio/mpeg"), (b"\0\0\0\x20ftypisom", "video/mp4"),
     (b"\0\0\0\x20ftypM4A ", "audio/mp4"), (b"OggS\0", "audio/ogg"), (b"<html>", ""), (b"\xff\xff\xff\xff", ""),
     (b"", "")],
)  # fmt: skip
def test_a_file_is_what_its_first_bytes_show(data: bytes, kind: str) -> None:
    assert media.kind_of(data) == kind


def test_a_forms_fields_are_found_whatever_the_boundary() -> None:
    body = (
        b"--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na/b\r\n"
        b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n"
        b"Content-Type: audio/wav\r\n\r\n" + sound(3) + b"\r\n--B--\r\n"
    )  # fmt: skip
    fields = media.form_fields(body, "multipart/form-data; boundary=B")
    assert fields["model"] == b"a/b"
    assert fields["file"] == sound(3)


@given(st.binary(max_size=300), st.text(max_size=40))
def test_a_broken_form_is_refused_and_never_crashes(body: bytes, boundary: str) -> None:
    with contextlib.suppress(ValueError):
        media.form_fields(body, f"multipart/form-data; boundary={boundary}")


# --- What a request asks for ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "images"),
    [({"prompt": "x"}, 1), ({"n": 3}, 3), ({"num_images": 2}, 2), ({"input": {"num_outputs": 4}}, 4),
     ({"parameters": {"n": 2}, "n": None}, 2)],
)  # fmt: skip
def test_images_are_counted_wherever_a_provider_is_told(fields: dict[str, object], images: int) -> None:
    assert measure("text-to-image", fields, b"") == ({Unit.IMAGE: images}, False)


@pytest.mark.parametrize("count", [0, -1, 9, 10**9, True, "3", 1.5])
def test_a_count_that_makes_no_sense_is_refused(count: object) -> None:
    with pytest.raises(Refusal):
        measure("text-to-image", {"n": count}, b"")


@pytest.mark.parametrize(
    "fields", [{"input": "toll"}, {"inputs": "toll"}, {"text": "toll"}, {"input": {"text": "toll"}}]
)
def test_characters_to_speak_are_counted_wherever_they_are(fields: dict[str, object]) -> None:
    assert measure("text-to-speech", fields, b"") == ({Unit.CHARACTER: 4}, False)
