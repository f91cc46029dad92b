"""The judge of the fake Stripe: what is valid under Stripe's own document, and what is not."""

import pytest

from tests.fakes.stripe import overlay, specification

GOOD = {
    "a customer": ("POST /v1/customers", "email=alice%40example.com&metadata[account]=1&address[country]=KR"),
    "no field at all": ("POST /v1/customers", ""),
    "metadata emptied": ("POST /v1/customers/{customer}", "metadata="),
    "one key of metadata emptied": ("POST /v1/customers/{customer}", "metadata[account]="),
    "a price": (
        "POST /v1/prices",
        "currency=usd&unit_amount=900&product=prod_1&recurring[interval]=month&tax_behavior=exclusive",
    ),
    "a decimal amount": ("POST /v1/prices", "currency=usd&unit_amount_decimal=0.0000015&product=prod_1"),
    "a checkout": (
        "POST /v1/checkout/sessions",
        "mode=subscription&line_items[0][price]=price_1&line_items[0][quantity]=1&success_url=http%3A%2F%2Fx",
    ),
    "a checkout's kinds of payment, as endive says it": (
        "POST /v1/checkout/sessions",
        "mode=setup&success_url=http%3A%2F%2Fx&currency=usd&allowed_payment_method_types[0]=card",
    ),
    "lines": (
        "POST /v1/invoices/{invoice}/add_lines",
        (
            "lines[0][amount]=-5&lines[0][metadata][turnpike_line]=u&lines[1][amount]=7&lines[1][period][start]=1"
            "&lines[1][period][end]=2"
        ),
    ),
    "finalise": ("POST /v1/invoices/{invoice}/finalize", "auto_advance=true"),
    "an anchor as an object": (
        "POST /v1/subscriptions/{subscription_exposed_id}",
        "billing_cycle_anchor[type]=now",
    ),
    "a list": ("GET /v1/invoices", "limit=100&status=open&expand[0]=data.customer"),
    "events since": ("GET /v1/events", "created[gte]=1767225600&delivery_success=false"),
    "a refunding credit note": (
        "POST /v1/credit_notes",
        (
            "invoice=in_1&lines[0][type]=invoice_line_item&lines[0][invoice_line_item]=il_1&lines[0][amount]=5"
            "&refund_amount=5&reason=order_change"
        ),
    ),
}
BAD = {
    "a misspelt field": ("POST /v1/customers", "emial=a"),
    "a misspelt field inside": ("POST /v1/customers", "address[contry]=KR"),
    "a misspelt field in a list": ("POST /v1/invoices/{invoice}/add_lines", "lines[0][ammount]=5"),
    "an amount with a point": ("POST /v1/prices", "currency=usd&unit_amount=9.5&product=prod_1"),
    "an amount with an exponent": ("POST /v1/prices", "currency=usd&unit_amount_decimal=1E-7&product=prod_1"),
    "a required field missing": ("POST /v1/prices", "unit_amount=900&product=prod_1"),
    "a value that is not one of the listed": ("POST /v1/checkout/sessions", "mode=subscribe"),
    "an interval that is none": ("POST /v1/prices", "currency=usd&recurring[interval]=fortnight"),
    "a field that was removed": ("POST /v1/checkout/sessions", "mode=setup&payment_method_types[0]=card"),
    "an invoice item's price of old": ("POST /v1/invoiceitems", "customer=cus_1&price=price_1"),
    "an anchor of old": ("POST /v1/subscriptions/{subscription_exposed_id}", "billing_cycle_anchor=now"),
    "a boolean that is none": ("POST /v1/invoices/{invoice}/finalize", "auto_advance=yes"),
    "a list where one is wanted": ("POST /v1/customers", "email[0]=a"),
    "too long a text": ("POST /v1/customers", f"description={'x' * 5001}"),
    "a reason that is none": ("POST /v1/credit_notes", "invoice=in_1&reason=sorry"),
    "a status that is none": ("GET /v1/invoices", "status=finalized"),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_good_request_is_good(case: str) -> None:
    operation, encoded = GOOD[case]
    assert specification.faults_of_request(operation, specification.decode(operation, encoded)) == []


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_bad(case: str) -> None:
    operation, encoded = BAD[case]
    assert specification.faults_of_request(operation, specification.decode(operation, encoded))


def test_values_become_what_the_schema_calls_for() -> None:
    encoded = "lines[0][amount]=5&lines[0][metadata][n]=7&lines[1][amount]=-7&lines[1][discountable]=false"
    assert specification.decode("POST /v1/invoices/{invoice}/add_lines", encoded) == {
        "lines": [{"amount": 5, "metadata": {"n": "7"}}, {"amount": -7, "discountable": False}]
    }


@pytest.mark.parametrize(
    "name", ["customer", "invoice", "subscription", "price", "charge", "checkout.session"]
)
def test_a_blank_object_is_valid_and_a_stray_field_is_not(name: str) -> None:
    blank = specification.blank(name)
    assert specification.faults_of_object(name, blank) == []
    assert specification.faults_of_object(name, blank | {"stray": 1})


def test_it_is_the_version_that_the_installed_library_speaks() -> None:
    from stripe import _api_version

    assert specification.version() == overlay.VERSION == _api_version._ApiVersion.CURRENT
