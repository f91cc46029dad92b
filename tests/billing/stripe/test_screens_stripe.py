"""The Billing page with Stripe: subscribe and come back, change with the preview, cancel and keep, cards, alarms."""

import uuid
from urllib.parse import urlsplit

from django.test import Client

from accounts.models import Role
from billing.models import BillingAlarm, StripeCheckout, StripeOperation, StripeSubscription
from billing.plan_in_force import plan_version_of
from tests.billing.stripe.conftest import MID_MONTH, Both, subscribe
from tests.browsing import join, sign_in, text_of
from tests.factories import Person, make_person


def test_bob_subscribes_by_the_screens_and_comes_back(both: Both, bob: Person) -> None:
    client = sign_in(bob)
    assert "Stripe is a fake here" in text_of(client.get("/billing/"))
    assert "exact amount stands there before you pay" in text_of(client.get("/billing/plan/pro/"))
    once = str(uuid.uuid4())
    answers = [client.post("/billing/plan/pro/", {"once": once}) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {302}
    assert answers[0]["Location"] == answers[1]["Location"]  # two clicks, one page
    assert answers[0]["Location"].startswith(both.fake.url)
    page = StripeCheckout.objects.get()
    early = client.get(f"/billing/paid/?session={page.pk}", follow=True)
    assert "on its way" in text_of(early)
    both.fake.complete_checkout(page.pk)
    done = client.get(f"/billing/paid/?session={page.pk}", follow=True)
    assert "Your payment went through" in text_of(done)
    assert "Visa ···· 4242" in text_of(done)
    assert plan_version_of(bob.account, MID_MONTH)[0].plan.slug == "pro"


def test_leaving_the_checkout_page_changes_nothing(both: Both, bob: Person) -> None:
    answer = sign_in(bob).get("/billing/paid/?left=1", follow=True)
    assert "nothing has changed" in text_of(answer)
    assert not StripeSubscription.objects.exists()


def test_dave_cannot_follow_bobs_page(both: Both, bob: Person, dave: Person) -> None:
    sign_in(bob).post("/billing/plan/pro/", {"once": str(uuid.uuid4())})
    page = StripeCheckout.objects.get()
    both.fake.complete_checkout(page.pk)
    answer = sign_in(dave).get(f"/billing/paid/?session={page.pk}", follow=True)
    assert "Nothing was paid" in text_of(answer)
    assert not StripeSubscription.objects.exists()


def test_bob_cancels_and_keeps_his_subscription(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    client = sign_in(bob)
    assert "Renews on Dec 1, 2026" in text_of(client.get("/billing/"))
    client.post("/billing/plan/free/", {"once": str(uuid.uuid4())})
    assert "Ends on Dec 1, 2026" in text_of(client.get("/billing/"))
    client.post("/billing/plan/pro/", {"once": str(uuid.uuid4())})
    assert "Renews on Dec 1, 2026" in text_of(client.get("/billing/"))


def test_cards_lead_to_stripes_page_and_a_viewer_may_not(both: Both, bob: Person) -> None:
    subscribe(both, bob)
    answer = sign_in(bob).post("/billing/cards/")
    assert urlsplit(answer["Location"]).path.startswith("/_fake/portal/")
    helper = make_person("Ivan")
    join(helper, bob.account, Role.VIEWER)
    assert sign_in(helper, bob.account).post("/billing/cards/").status_code == 403


def test_stripe_away_is_said_and_nothing_changes(both: Both, bob: Person) -> None:
    both.fake.control("outage", hours=1)
    answer = sign_in(bob).post("/billing/plan/pro/", {"once": str(uuid.uuid4())}, follow=True)
    assert "Stripe does not answer" in text_of(answer)


def test_the_operator_sees_operations_webhooks_and_closes_an_alarm(
    both: Both, bob: Person, olivia: Client
) -> None:
    subscribe(both, bob)
    alarm = BillingAlarm.objects.create(kind="edited_price", subject="price_1", detail="Edited.")
    for name in (
        "stripeoperation",
        "webhookinbox",
        "stripeinvoice",
        "stripesubscription",
        "stripeprice",
        "dunning",
    ):
        assert olivia.get(f"/admin/billing/{name}/").status_code == 200, name
    operation = StripeOperation.objects.latest("created_at")
    assert olivia.get(f"/admin/billing/stripeoperation/{operation.pk}/change/").status_code == 200
    assert "price_1" in text_of(olivia.get("/admin/billing/billingalarm/"))
    assert "1 billing alarm is open" in text_of(olivia.get("/admin/"))
    assert alarm.closed_at is None
