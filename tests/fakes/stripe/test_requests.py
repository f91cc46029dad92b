"""How the fake takes requests: judged, remembered under their keys, broken on purpose. With Stripe's own client."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from tests.fakes.stripe.people import DAY, HOUR, NOW, customer, draft
from tests.fakes.stripe.process import FakeStripe
from tests.live import eventually


def test_a_misspelt_field_is_refused_and_remembered_for_the_end_of_the_run(careless_fake: FakeStripe) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="emial"):
        careless_fake.client().v1.customers.create({"emial": "alice@example.com"})  # type: ignore[arg-type]
    (violation,) = careless_fake.state()["violations"]
    assert "POST /v1/customers" in violation


def test_an_address_that_stripe_does_not_have_is_a_violation(careless_fake: FakeStripe) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        careless_fake.client().raw_request("post", "/v1/custommers")
    assert careless_fake.state()["violations"]


@pytest.mark.parametrize("key", ["", "sk_live_1", "whatever"])
def test_only_test_keys_are_taken(fake: FakeStripe, key: str) -> None:
    client = stripe.StripeClient(key or "x", base_addresses={"api": fake.url})
    with pytest.raises(stripe.AuthenticationError):
        client.v1.customers.list()


def test_what_is_not_there_is_404_by_address_and_400_by_parameter(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    with pytest.raises(stripe.InvalidRequestError) as by_address:
        v1.customers.retrieve("cus_gone")
    with pytest.raises(stripe.InvalidRequestError) as by_parameter:
        v1.invoices.create({"customer": "cus_gone"})
    assert (by_address.value.http_status, by_address.value.code) == (404, "resource_missing")
    assert (by_parameter.value.http_status, by_parameter.value.param) == (400, "customer")


def test_a_list_is_paged_newest_first(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    made = [v1.customers.create({"name": str(number)}).id for number in range(7)]
    first = v1.customers.list({"limit": 3})
    assert [one.id for one in first.data] == made[:3:-1]
    assert first.has_more
    assert [one.id for one in first.auto_paging_iter()] == made[::-1]


def test_a_search_finds_by_metadata(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    wanted = v1.customers.create({"metadata": {"account": "a-1"}})
    v1.customers.create({"metadata": {"account": "a-2"}})
    found = v1.customers.search({"query": "metadata['account']:'a-1'"})
    assert [one.id for one in found.data] == [wanted.id]


def test_a_fake_begins_anew_for_each_test_and_keeps_what_was_wrong(careless_fake: FakeStripe) -> None:
    v1 = careless_fake.client().v1
    v1.customers.create({"name": "Alice"}, {"idempotency_key": "alice"})
    v1.webhook_endpoints.create({"url": "http://127.0.0.1:1/nobody", "enabled_events": ["*"]})
    with pytest.raises(stripe.InvalidRequestError):
        careless_fake.client().raw_request("post", "/v1/custommers")
    plan = {"rates": {"slow": 1}, "next": [{"fault": "cut_before"}], "only": "GET"}
    careless_fake.control("faults", **plan)
    careless_fake.control("hold", on=True)
    careless_fake.control("outage", hours=1)
    careless_fake.control("settings", draft_seconds=1)
    before = careless_fake.state()

    careless_fake.control("reset", now=NOW - DAY)
    after = careless_fake.state()
    assert after["now"] == NOW - DAY
    assert after["faults"] == {"rates": {}, "next": [], "only": "", "fired": {}, "outage_until": 0}
    assert after["settings"] == before["settings"] | {"draft_seconds": HOUR}
    assert (after["waiting"], after["in_flight"]) == (0, 0)
    judged = ("validated_requests", "validated_objects", "violations")
    assert [after[name] for name in judged] == [before[name] for name in judged]
    assert len(after["violations"]) == 1
    made = v1.customers.create({"name": "Bob"}, {"idempotency_key": "alice"})  # a key of before is new again
    assert [one["id"] for one in careless_fake.objects("customer")] == [made.id]
    assert careless_fake.objects("webhook_endpoint") == []


# --- idempotency --------------------------------------------------------------------------------------------


def test_the_same_key_answers_the_same_and_does_nothing_twice(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    first = v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"})
    again = v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"})
    assert first.id == again.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(fake.objects("customer")) == 1


def test_the_order_of_the_fields_does_not_matter(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    first = v1.customers.create({"name": "Alice", "email": "a@example.com"}, {"idempotency_key": "k1"})
    again = v1.customers.create({"email": "a@example.com", "name": "Alice"}, {"idempotency_key": "k1"})
    assert first.id == again.id


def test_other_parameters_under_the_same_key_are_refused(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError):
        v1.customers.create({"name": "Bob"}, {"idempotency_key": "k1"})


def test_a_key_is_new_again_after_24_hours(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    first = v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"})
    fake.advance(seconds=DAY - 1)
    assert v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"}).id == first.id
    fake.advance(seconds=1)
    assert v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"}).id != first.id


def test_a_500_is_stored_under_its_key_whether_the_work_was_done_or_not(fake: FakeStripe) -> None:
    v1 = fake.client().v1
    for fault, made in (("error_before", 0), ("error_after", 1)):
        fake.control("faults", next=[{"fault": fault}])
        for _ in range(2):
            with pytest.raises(stripe.APIError):
                v1.customers.create({"name": fault}, {"idempotency_key": fault})
        assert len([one for one in fake.objects("customer") if one["name"] == fault]) == made


def test_a_second_request_while_the_first_is_under_way_gets_409(fake: FakeStripe) -> None:
    fake.control("faults", next=[{"fault": "slow"}], slow_seconds=3.0)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(fake.client().v1.customers.create, {"name": "Alice"}, {"idempotency_key": "k1"})
        eventually(lambda: fake.state()["in_flight"] == 1, "the first request is under way")
        with pytest.raises(stripe.APIError) as refused:
            fake.client().v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"})
        assert refused.value.http_status == 409
        assert first.result().name == "Alice"


def test_an_invalid_request_and_a_429_leave_the_key_free(careless_fake: FakeStripe) -> None:
    v1 = careless_fake.client().v1
    with pytest.raises(stripe.InvalidRequestError):
        v1.customers.create({"emial": "a"}, {"idempotency_key": "k1"})  # type: ignore[arg-type]
    careless_fake.control("faults", next=[{"fault": "rate_limit"}])
    with pytest.raises(stripe.RateLimitError):
        v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"})
    assert v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"}).id


# --- faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "made"), [("cut_before", 0), ("reset_before", 0), ("cut_after", 1), ("reset_after", 1)]
)
def test_a_broken_connection_does_or_does_not_leave_the_work_done(
    fake: FakeStripe, fault: str, made: int
) -> None:
    fake.control("faults", next=[{"fault": fault, "path": "customers"}])
    with pytest.raises(stripe.APIConnectionError):
        fake.client().v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"})
    assert len(fake.objects("customer")) == made
    fake.client().v1.customers.create({"name": "Alice"}, {"idempotency_key": "k1"})
    assert len(fake.objects("customer")) == 1
    assert fake.state()["faults"]["fired"] == {fault: 1}


def test_faults_are_drawn_by_their_rate_and_the_same_seed_draws_the_same(fake: FakeStripe) -> None:
    def outcome() -> list[bool]:
        fake.control("faults", clear=True, seed=7, rates={"rate_limit": 0.5})
        found = []
        for _ in range(20):
            try:
                fake.client().v1.customers.list()
                found.append(True)
            except stripe.RateLimitError:
                found.append(False)
        return found

    first = outcome()
    assert {True, False} == set(first)
    assert outcome() == first


def test_an_unknown_fault_is_refused(fake: FakeStripe) -> None:
    assert "unknown faults" in fake.control("faults", rates={"meteor": 1})["error"]


def test_an_outage_lasts_until_its_clock_says_so(fake: FakeStripe) -> None:
    fake.control("outage", hours=25)
    with pytest.raises(stripe.APIConnectionError):
        fake.client().v1.customers.list()
    fake.advance(seconds=25 * HOUR)
    assert fake.client().v1.customers.list().data == []


def test_nothing_is_added_when_one_of_many_lines_is_wrong(fake: FakeStripe) -> None:
    alice = customer(fake, "")
    invoice = draft(fake, alice, 5)
    with pytest.raises(stripe.InvalidRequestError):
        fake.client().v1.invoices.add_lines(
            invoice.id, {"lines": [{"amount": 7}, {"invoice_item": "ii_gone"}]}
        )
    assert fake.client().v1.invoices.retrieve(invoice.id).total == 5
