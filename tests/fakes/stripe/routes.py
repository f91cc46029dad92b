"""Which function answers which operation. An operation of the document that is not here answers 404 and says so."""

from collections.abc import Callable

from tests.fakes.stripe import (
    cards,
    catalog,
    checkout,
    collecting,
    credit_notes,
    customers,
    disputes,
    invoices,
    lines,
    payments,
    portal,
    prorations,
    schedules,
    setups,
    subscriptions,
    webhooks,
)
from tests.fakes.stripe.agenda import Agenda
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import Object, World

Work = Callable[..., Object]  # (world, params, *ids of the address) -> the answer


def table(agenda: Agenda) -> dict[str, Work]:
    """Return operation -> function."""
    return {f"{verb} /v1/{path}": work for (verb, path), work in {**_TABLE, **_clocks(agenda)}.items()}


def _clocks(agenda: Agenda) -> dict[tuple[str, str], Work]:
    return {
        ("POST", "test_helpers/test_clocks"): agenda.create_clock,
        ("POST", "test_helpers/test_clocks/{test_clock}/advance"): agenda.advance_clock,
        ("GET", "test_helpers/test_clocks/{test_clock}"): _clock,
        ("GET", "test_helpers/test_clocks"): _every_clock,
        ("DELETE", "test_helpers/test_clocks/{test_clock}"): _delete_clock,
    }


def _clock(world: World, params: Object, clock: str) -> Object:
    return world.get("test_helpers.test_clock", clock)


def _every_clock(world: World, params: Object) -> Object:
    return listing(world, "/v1/test_helpers/test_clocks", world.every("test_helpers.test_clock"), params)


def _delete_clock(world: World, params: Object, clock: str) -> Object:
    for customer in list(world.every("customer", test_clock=clock)):
        customers.delete(world, {}, customer["id"])
    found = world.get("test_helpers.test_clock", clock)
    found["deleted"] = True
    return {"id": clock, "object": "test_helpers.test_clock", "deleted": True}


_TABLE: dict[tuple[str, str], Work] = {
    ("GET", "balance_transactions"): payments.balance_transactions,
    ("GET", "balance_transactions/{id}"): payments.balance_transaction,
    ("GET", "billing_portal/configurations"): portal.configurations,
    ("POST", "billing_portal/configurations"): portal.create_configuration,
    ("GET", "billing_portal/configurations/{configuration}"): portal.configuration,
    ("POST", "billing_portal/configurations/{configuration}"): portal.update_configuration,
    ("POST", "billing_portal/sessions"): portal.create,
    ("GET", "charges"): payments.charges,
    ("GET", "charges/{charge}"): payments.one_charge,
    ("GET", "checkout/sessions"): checkout.every,
    ("POST", "checkout/sessions"): checkout.create,
    ("GET", "checkout/sessions/{session}"): checkout.retrieve,
    ("POST", "checkout/sessions/{session}"): checkout.update,
    ("POST", "checkout/sessions/{session}/expire"): checkout.expire,
    ("GET", "checkout/sessions/{session}/line_items"): checkout.line_items,
    ("GET", "credit_notes"): credit_notes.every,
    ("POST", "credit_notes"): credit_notes.create,
    ("GET", "credit_notes/preview"): credit_notes.preview,
    ("GET", "credit_notes/{id}"): credit_notes.retrieve,
    ("POST", "credit_notes/{id}"): credit_notes.update,
    ("GET", "credit_notes/{credit_note}/lines"): credit_notes.lines,
    ("POST", "credit_notes/{id}/void"): credit_notes.void,
    ("GET", "customers"): customers.every,
    ("POST", "customers"): customers.create,
    ("GET", "customers/search"): customers.find,
    ("GET", "customers/{customer}"): customers.retrieve,
    ("POST", "customers/{customer}"): customers.update,
    ("DELETE", "customers/{customer}"): customers.delete,
    ("GET", "customers/{customer}/balance_transactions"): customers.balance_history,
    ("POST", "customers/{customer}/balance_transactions"): customers.adjust_balance,
    ("GET", "customers/{customer}/payment_methods"): cards.every_of_customer,
    ("GET", "customers/{customer}/tax_ids"): customers.tax_ids,
    ("POST", "customers/{customer}/tax_ids"): customers.add_tax_id,
    ("GET", "customers/{customer}/tax_ids/{id}"): customers.tax_id,
    ("DELETE", "customers/{customer}/tax_ids/{id}"): customers.remove_tax_id,
    ("GET", "disputes"): disputes.every,
    ("GET", "disputes/{dispute}"): disputes.retrieve,
    ("GET", "events"): webhooks.events,
    ("GET", "events/{id}"): webhooks.event,
    ("GET", "invoice_payments"): invoices.payments,
    ("GET", "invoice_payments/{invoice_payment}"): invoices.payment,
    ("GET", "invoiceitems"): lines.items,
    ("POST", "invoiceitems"): lines.create_item,
    ("GET", "invoiceitems/{invoiceitem}"): lines.item,
    ("POST", "invoiceitems/{invoiceitem}"): lines.update_item,
    ("DELETE", "invoiceitems/{invoiceitem}"): lines.delete_item,
    ("GET", "invoices"): invoices.every,
    ("POST", "invoices"): invoices.create,
    ("POST", "invoices/create_preview"): prorations.preview,
    ("GET", "invoices/search"): invoices.find,
    ("GET", "invoices/{invoice}"): invoices.retrieve,
    ("POST", "invoices/{invoice}"): invoices.update,
    ("DELETE", "invoices/{invoice}"): invoices.delete,
    ("POST", "invoices/{invoice}/add_lines"): invoices.add_lines,
    ("POST", "invoices/{invoice}/finalize"): collecting.finalize,
    ("GET", "invoices/{invoice}/lines"): invoices.lines_of,
    ("POST", "invoices/{invoice}/lines/{line_item_id}"): invoices.update_line,
    ("POST", "invoices/{invoice}/mark_uncollectible"): collecting.mark_uncollectible,
    ("POST", "invoices/{invoice}/pay"): collecting.pay,
    ("POST", "invoices/{invoice}/remove_lines"): invoices.remove_lines,
    ("POST", "invoices/{invoice}/send"): collecting.send,
    ("POST", "invoices/{invoice}/update_lines"): invoices.update_lines,
    ("POST", "invoices/{invoice}/void"): collecting.void,
    ("GET", "payment_intents"): payments.intents,
    ("POST", "payment_intents"): payments.create_intent,
    ("GET", "payment_intents/{intent}"): payments.intent,
    ("POST", "payment_intents/{intent}"): payments.update_intent,
    ("POST", "payment_intents/{intent}/cancel"): payments.cancel_intent,
    ("POST", "payment_intents/{intent}/confirm"): payments.confirm_intent,
    ("GET", "payment_methods"): cards.every,
    ("POST", "payment_methods"): cards.create,
    ("GET", "payment_methods/{payment_method}"): cards.retrieve,
    ("POST", "payment_methods/{payment_method}"): cards.update,
    ("POST", "payment_methods/{payment_method}/attach"): cards.attach,
    ("POST", "payment_methods/{payment_method}/detach"): cards.detach,
    ("GET", "prices"): catalog.prices,
    ("POST", "prices"): catalog.create_price,
    ("GET", "prices/search"): catalog.find_prices,
    ("GET", "prices/{price}"): catalog.price,
    ("POST", "prices/{price}"): catalog.update_price,
    ("GET", "products"): catalog.products,
    ("POST", "products"): catalog.create_product,
    ("GET", "products/search"): catalog.find_products,
    ("GET", "products/{id}"): catalog.product,
    ("POST", "products/{id}"): catalog.update_product,
    ("DELETE", "products/{id}"): catalog.delete_product,
    ("GET", "refunds"): payments.refunds,
    ("POST", "refunds"): payments.create_refund,
    ("GET", "refunds/{refund}"): payments.one_refund,
    ("POST", "refunds/{refund}"): payments.update_refund,
    ("GET", "setup_intents"): setups.every,
    ("POST", "setup_intents"): setups.create,
    ("GET", "setup_intents/{intent}"): setups.retrieve,
    ("POST", "setup_intents/{intent}/cancel"): setups.cancel,
    ("POST", "setup_intents/{intent}/confirm"): setups.confirm,
    ("GET", "subscription_items"): subscriptions.every_item,
    ("GET", "subscription_items/{item}"): subscriptions.item,
    ("GET", "subscription_schedules"): schedules.every,
    ("POST", "subscription_schedules"): schedules.create,
    ("GET", "subscription_schedules/{schedule}"): schedules.retrieve,
    ("POST", "subscription_schedules/{schedule}"): schedules.update,
    ("POST", "subscription_schedules/{schedule}/cancel"): schedules.cancel,
    ("POST", "subscription_schedules/{schedule}/release"): schedules.release,
    ("GET", "subscriptions"): subscriptions.every,
    ("POST", "subscriptions"): subscriptions.create,
    ("GET", "subscriptions/search"): subscriptions.find,
    ("GET", "subscriptions/{subscription_exposed_id}"): subscriptions.retrieve,
    ("POST", "subscriptions/{subscription_exposed_id}"): subscriptions.update,
    ("DELETE", "subscriptions/{subscription_exposed_id}"): subscriptions.cancel,
    ("GET", "tax_rates"): catalog.tax_rates,
    ("POST", "tax_rates"): catalog.create_tax_rate,
    ("GET", "tax_rates/{tax_rate}"): catalog.tax_rate,
    ("GET", "webhook_endpoints"): webhooks.every,
    ("POST", "webhook_endpoints"): webhooks.create,
    ("GET", "webhook_endpoints/{webhook_endpoint}"): webhooks.retrieve,
    ("POST", "webhook_endpoints/{webhook_endpoint}"): webhooks.update,
    ("DELETE", "webhook_endpoints/{webhook_endpoint}"): webhooks.delete,
}
