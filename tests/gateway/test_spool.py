"""Settlements that wait on disk while the meter is away."""

import asyncio
import os
import socket
from pathlib import Path

from redis.exceptions import ConnectionError as MeterAway

from accounts.ids import uuid7
from gateway.counters import Settlement
from gateway.spool import Spool, read_lines


def settlement(nano: int = 5) -> Settlement:
    return Settlement(str(uuid7()), str(uuid7()), "2026-11", nano, 3, 1, '{"text": "é"}')


def test_what_was_written_is_entered_and_removed(tmp_path: Path) -> None:
    spool, lines = Spool(tmp_path), [settlement(1), settlement(2)]
    for line in lines:
        spool.write(line)
    entered: list[Settlement] = []

    async def enter(lines: list[Settlement]) -> None:
        entered.extend(lines)

    assert asyncio.run(spool.replay(enter)) == 2
    assert entered == lines
    assert list(tmp_path.iterdir()) == []
    spool.write(settlement())
    assert asyncio.run(spool.replay(enter)) == 1


def test_lines_stay_while_the_meter_is_away(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(settlement())

    async def enter(lines: list[Settlement]) -> None:
        raise MeterAway("away")

    try:
        asyncio.run(spool.replay(enter))
    except MeterAway:
        pass
    else:
        raise AssertionError("the meter was away")
    assert len(read_lines(next(tmp_path.iterdir()))) == 1


def test_a_settlement_is_written_while_the_file_is_being_replayed(tmp_path: Path) -> None:
    """Found by the fault run redis_outage: the gateway waited for its own lock, for ever."""
    spool = Spool(tmp_path)
    spool.write(settlement())

    async def enter_while_another_comes(_: object) -> None:
        spool.write(settlement())

    async def enter(_: object) -> None:
        pass

    assert asyncio.run(spool.replay(enter_while_another_comes)) == 1
    assert asyncio.run(spool.replay(enter)) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_torn_last_line_is_left_out_and_the_rest_is_kept(tmp_path: Path) -> None:
    spool, line = Spool(tmp_path), settlement()
    spool.write(line)
    path = tmp_path / f"{socket.gethostname()}-{os.getpid()}.jsonl"
    path.write_bytes(path.read_bytes() + b'deadbeef {"request_id": "torn')
    assert read_lines(path) == [line]


def test_a_file_that_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    writer, reader = Spool(tmp_path), Spool(tmp_path)
    writer.write(settlement())
    reader._path = tmp_path / "other.jsonl"
    entered: list[Settlement] = []

    async def enter(lines: list[Settlement]) -> None:
        entered.extend(lines)

    assert asyncio.run(reader.replay(enter)) == 0
    assert entered == []
