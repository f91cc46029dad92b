"""Usage events for the ledger's bench: as reports in the stream, and made in SQL where a million are wanted."""

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from accounts.ids import uuid7
from accounts.models import Account
from billing.partitions import ensure_partitions
from billing.period import BillingPeriod
from gateway import counters
from gateway.meter_keys import keys_of
from tests.factories import call_id

_AT_ONCE = 1_000


def make_accounts(count: int, name: str, since: BillingPeriod) -> list[Account]:
    """Write accounts that are there since the day before a period."""
    created = since.start - timedelta(days=1)
    rows = [Account(name=f"{name} {number}", created_at=created) for number in range(count)]
    return Account.objects.bulk_create(rows, batch_size=_AT_ONCE)


async def fill_stream(accounts: Sequence[Account], events: int, chance: random.Random) -> int:
    """Put final reports of `accounts`, in turn, into their streams as a settlement does; return the sum of nano."""
    client = counters.connect(settings.METER_REDIS_URL, timeout=60.0)
    names = [str(account.pk) for account in accounts]
    period, total = BillingPeriod.containing(accounts[0].created_at).next.next.key, 0
    for start in range(0, events, _AT_ONCE):
        async with client.pipeline(transaction=False) as pipe:
            for number in range(start, min(start + _AT_ONCE, events)):
                report = _report(names[number % len(names)], period, chance)
                total += report["nano"]
                stream = keys_of(report["account"]).stream
                pipe.xadd(stream, {"kind": "final", "report": json.dumps(report, separators=(",", ":"))})
            await pipe.execute()
    await client.aclose()
    return total


def news(account: Account, at: datetime, calls: int, chance: random.Random) -> list[tuple[str, bytes]]:
    """Return entries of the stream: so many calls of an account that began at one moment."""
    name, period = str(account.pk), BillingPeriod.containing(at).key
    reports = [_report(name, period, chance, at) for _ in range(calls)]
    return [(report["rid"], json.dumps(report).encode()) for report in reports]


def _report(account: str, period: str, chance: random.Random, at: datetime | None = None) -> dict[str, Any]:
    """What `gateway/settlement.py` writes of a chat call of some length."""
    read, written = chance.randrange(1, 4_000), chance.randrange(1, 1_000)
    return {
        "rid": str(uuid7() if at is None else call_id(at)),
        "account": account,
        "period": period,
        "key": str(UUID(int=1)),
        "endpoint": "/v1/chat/completions",
        "task": "conversational",
        "model": f"HuggingFaceTB/SmolLM2-{chance.randrange(5)}",
        "upstream": "local",
        "status": 200,
        "error": "",
        "currency": "USD",
        "stream": False,
        "estimated": False,
        "price_version": 1,
        "units": {"input_token": [read, read * 10], "output_token": [written, written * 20]},
        "nano": read * 10 + written * 20,
        "upstream_nano": read * 5,
        "latency_ms": 12,
        "first_byte_ms": None,
    }


def insert(accounts: Sequence[Account], each: int, start: datetime, end: datetime, seed: int) -> None:
    """Write `each` events for each account, evenly over a time, and the marks that their recording would leave."""
    period = BillingPeriod.containing(start)
    ensure_partitions([period])
    given: dict[str, Any] = {
        "accounts": [account.pk for account in accounts],
        "each": each,
        "period": period.key,
    }
    given |= {"start": start, "step": (end - start - timedelta(seconds=1)) / each}
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(%s)", [seed % 1_000 / 1_000])
        cursor.execute(_EVENTS, given)
        cursor.execute(_MARKS, given)


_EVENTS = """
INSERT INTO billing_usageevent (request_id, seq, kind, occurred_at, period, account_id, api_key_id, endpoint, task,
    model, upstream, status, error_code, stream, estimated, price_version_id, currency, units, nano_cost,
    upstream_nano_cost, latency_ms, recorded_at, degraded)
SELECT gen_random_uuid(), 1, 'final', %(start)s + n * %(step)s, %(period)s, account, NULL, '/v1/chat/completions',
    'conversational', 'model-' || n %% 5, 'local', 200, '', false, false, NULL, 'USD',
    format('{"input_token": [%%s, %%s], "output_token": [%%s, %%s]}', i, i * 10, o, o * 20)::jsonb,
    i * 10 + o * 20, i * 5, 12, now(), false
FROM unnest(%(accounts)s::uuid[]) AS account, generate_series(0, %(each)s - 1) AS n,
    LATERAL (SELECT 1 + (random() * 4000)::int + 0 * n AS i, 1 + (random() * 1000)::int + 0 * n AS o) AS tokens
"""

_MARKS = """
INSERT INTO billing_rollupmark (account_id, minute)
SELECT DISTINCT account_id, date_trunc('minute', occurred_at, 'UTC') FROM billing_usageevent
WHERE account_id = ANY(%(accounts)s::uuid[]) AND period = %(period)s
"""
