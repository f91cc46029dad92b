"""/metrics: what a monitoring system reads, and who may read it."""

from collections.abc import Callable

import pytest
from django.test import Client, override_settings

from billing.aggregation import roll_up
from gateway.meter_keys import SHARDS
from tests.factories import Person
from tests.gateway.quotes.talk import one, taken
from tests.live import Web, eventually, record_usage

TOKEN = "a-token-of-the-monitoring-system"
pytestmark = pytest.mark.usefixtures("no_hold_stays")


def figures(text: str) -> dict[str, float]:
    """Read Prometheus's text format, which is one figure a line."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_without_a_token_in_the_settings_there_is_none_and_with_it_mallory_gets_401(
    live_database: object,
) -> None:
    assert Client().get("/metrics").status_code == 404
    with override_settings(METRICS_TOKEN=TOKEN):
        for headers in ({}, {"authorization": "Bearer guess"}, {"authorization": TOKEN}):
            assert Client().get("/metrics", headers=headers).status_code == 401


def read() -> dict[str, float]:
    """What the monitoring system reads."""
    answer = Client().get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return figures(answer.content.decode())


@override_settings(METRICS_TOKEN=TOKEN)
def test_alices_call_and_her_open_quote_are_counted(web: Web, person: Callable[..., Person]) -> None:
    alice, calls = person("Alice", "pro"), 'turnpike_calls_total{currency="USD"}'
    before = read()
    assert all(before[f'turnpike_engine_up{{engine="{name}"}}'] == 1 for name in ("meter", "cache", "ledger"))
    assert before["turnpike_meter_shards_sound"] == SHARDS
    assert web.chat(alice).status_code == 200
    said = taken(web, alice)
    assert read()["turnpike_open_holds"] == before["turnpike_open_holds"] + 1
    one(web, alice, said["id"], "DELETE")
    record_usage()

    def is_counted() -> bool:
        roll_up()
        return read().get(calls, 0) > before.get(calls, 0)

    eventually(is_counted, "the call is in the totals")


def test_an_engine_that_is_away_is_a_zero_and_the_rest_is_told(live_database: object) -> None:
    with override_settings(METRICS_TOKEN=TOKEN, METER_REDIS_URL="redis://127.0.0.1:1/0"):
        answer = Client().get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    found = figures(answer.content.decode())
    assert found['turnpike_engine_up{engine="meter"}'] == 0
    assert "turnpike_open_holds" not in found
    assert found['turnpike_engine_up{engine="ledger"}'] == 1
    assert "turnpike_rollup_minutes_waiting" in found
