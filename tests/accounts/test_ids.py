"""Ids that sort by time."""

import time
import uuid

from accounts.ids import moment_of, uuid7, uuid7_text


def test_an_id_made_as_a_text_is_one_like_the_others() -> None:
    for _ in range(200):
        before = time.time_ns() // 1_000_000
        text = uuid7_text()
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (7, uuid.RFC_4122)
        assert before <= read.int >> 80 <= time.time_ns() // 1_000_000
        assert moment_of(read) <= moment_of(uuid7())


def test_no_two_are_the_same() -> None:
    assert len({uuid7_text() for _ in range(1_000)}) == 1_000
