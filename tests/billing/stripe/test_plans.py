"""`manage.py sync_plans`: products and prices once; an edited one is named and not sold."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing.collection.plans import price_for, sync_plans
from billing.models import BillingAlarm, PlanVersion, StripeOperation, StripePrice
from billing.payments.provider import PaymentError
from tests.billing.stripe.conftest import Both, plan


def test_each_plan_that_is_sold_has_one_product_and_a_price_in_each_currency(both: Both) -> None:
    sync_plans()
    sold = PlanVersion.objects.current(currency=None).filter(price_minor__gt=0, plan__by_agreement=False)
    assert len(both.fake.objects("price")) == sold.count() == StripePrice.objects.count() >= 5
    assert [one["id"] for one in both.fake.objects("product")] == ["turnpike_pro"]


def test_after_the_rows_are_lost_the_prices_are_found_again(both: Both) -> None:
    StripePrice.objects.all().delete()
    StripeOperation.objects.all().delete()
    sync_plans()
    assert len(both.fake.objects("price")) == StripePrice.objects.count() == 5


def test_a_price_edited_by_hand_is_an_alarm_and_is_not_sold(both: Both) -> None:
    price = price_for(plan("pro"))
    both.post(f"/v1/prices/{price.pk}", active=False, metadata={"turnpike_plan_version": "0"})
    with pytest.raises(CommandError, match="edited") as refused:
        call_command("sync_plans")
    assert refused.value.returncode == 1
    assert BillingAlarm.objects.get().kind == "edited_price"
    with pytest.raises(PaymentError, match="Edited at Stripe"):
        price_for(plan("pro"))
    both.post(f"/v1/prices/{price.pk}", active=True, metadata={"turnpike_plan_version": str(plan("pro").pk)})
    call_command("sync_plans")
    assert price_for(plan("pro")).pk == price.pk


def test_without_stripe_the_command_says_what_to_set(price_list: None) -> None:
    with pytest.raises(CommandError, match="STRIPE_SECRET_KEY") as refused:
        call_command("sync_plans")
    assert refused.value.returncode == 2
