"""A quote that nobody redeems ends by itself: everything is free again, and there is no record of a call."""

from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync

from billing.models import UsageEvent
from gateway.ledger_writer import sweep_holds
from gateway.meter_keys import keys_of
from tests.factories import Person
from tests.gateway.quotes.talk import code, counted, one, quote, redeem, taken
from tests.live import FakeUpstream, Web, eventually, record_usage, with_meter

pytestmark = pytest.mark.usefixtures("no_hold_stays")
People = Callable[..., Person]


def test_a_quote_that_is_late_is_410_before_and_after_the_sweep(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    bob, before = person("Bob"), upstream.seen()["calls"]
    said = taken(web, bob, expires_in=1)
    eventually(lambda: one(web, bob, said["id"]).json()["status"] == "expired", "its time is over")
    assert code(redeem(web, bob, said["id"])) == (410, "quote_expired")
    async_to_sync(sweep_holds)()
    assert counted(bob) == (0, 0, 0, 0)
    assert one(web, bob, said["id"]).json()["status"] == "expired"
    assert code(redeem(web, bob, said["id"])) == (410, "quote_expired")
    assert code(one(web, bob, said["id"], "DELETE")) == (410, "quote_expired")
    assert upstream.seen()["calls"] == before
    record_usage()
    assert not UsageEvent.objects.filter(account=bob.account).exists()


def test_late_quotes_hold_up_nobody_even_before_the_sweep(web: Web, person: People) -> None:
    bob = person("Bob")
    late = [taken(web, bob, expires_in=1) for _ in range(2)]
    eventually(lambda: quote(web, bob, expires_in=1).status_code == 201, "there is room again", 10)
    async_to_sync(sweep_holds)()
    assert all(one(web, bob, each["id"]).json()["status"] == "expired" for each in late)
    keys = keys_of(str(bob.account.pk))

    def is_empty() -> bool:
        async_to_sync(sweep_holds)()
        return bool(with_meter(lambda meter, _: meter.client.zcard(keys.quotes)) == 0)

    eventually(is_empty, "no quote is left", 10)
    assert counted(bob) == (0, 0, 0, 0)


def test_a_call_that_redeemed_a_quote_and_whose_process_died_is_abandoned_as_any_call(
    web: Web, upstream: FakeUpstream, person: People
) -> None:
    """What a killed process leaves: the hold of the call, which no heartbeat keeps."""
    alice = person("Alice", "pro")
    said = taken(web, alice)
    rid = said["id"][:-4] + "beef"
    keys = keys_of(str(alice.account.pk))

    async def redeem_and_die(meter, _) -> tuple[str, str]:  # type: ignore[no-untyped-def]
        from gateway.counters import Counters
        from gateway.quote_holds import QuoteHolds

        report = (await meter.client.hget(keys.quote(said["id"]), "report")).replace(
            said["id"].encode(), rid.encode()
        )
        return await QuoteHolds(Counters(meter.client, hold_ms=1)).redeem(
            str(alice.account.pk), said["id"], rid, report
        )

    assert with_meter(redeem_and_die) == ("OK", "")
    eventually(lambda: async_to_sync(sweep_holds)() >= 0 and counted(alice)[2] == 0, "it is swept", 5)
    record_usage()
    event = UsageEvent.objects.get(account=alice.account)
    assert (str(event.request_id), event.kind, event.nano_cost) == (rid, "abandoned", 0)
    assert one(web, alice, said["id"]).json()["status"] == "redeemed"
