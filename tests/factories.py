"""Plain functions that make what tests need, through the same doors as the product does."""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max
from django.utils import timezone

from accounts.keys import issue_key
from accounts.models import Account, ApiKey, User
from accounts.signup import open_personal_account
from billing.aggregation import catch_up
from billing.metering import Recorded, record
from billing.models import PriceVersion, UnitPrice
from billing.period import BillingPeriod
from billing.pricebook import PriceBook, load_price_book
from billing.pricing import Unit, charge
from billing.report import UsageReport
from billing.seeding import subscribe

PASSWORD = "a-long-enough-password"
CHAT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDING_MODEL = "intfloat/multilingual-e5-small"

_price_books: dict[tuple[int | None, ...], PriceBook] = {}


@dataclass(frozen=True)
class Person:
    """Somebody with a personal account and one API key, whose secret only this object knows."""

    user: User
    account: Account
    key: ApiKey
    secret: str


def make_person(name: str, plan: str = "free", /, **account_fields: Any) -> Person:
    """Sign somebody up as `<name>@example.com`, on a plan ("free", "pro", "enterprise"), with a key.

    Needs the price list (`price_list` fixture or `billing.seeding.seed_billing`).
    """
    user = User.objects.create_user(f"{name.lower()}@example.com", PASSWORD, name=name)
    account = open_personal_account(user)
    for field, value in account_fields.items():
        setattr(account, field, value)
    account.save()
    if plan != "free":
        subscribe(account, plan)
    key, secret = issue_key(account, f"{name}'s laptop", created_by=user)
    return Person(user, account, key, secret)


def call_id(at: datetime) -> uuid.UUID:
    """Return a version-7 UUID whose time is `at` (to the millisecond), as a call's id at that moment."""
    value = round(at.timestamp() * 1000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def make_report(
    person: Person | Account,
    at: datetime | None = None,
    units: Mapping[Unit, int] | None = None,
    *,
    model: str = CHAT_MODEL,
    upstream: str = "local",
    **fields: Any,
) -> UsageReport:
    """Return what the gateway reports of one call, priced from the price book as of `at` (now, if not given).

    Without `units`: 12 tokens in, 8 out. Anything else about the call can be given by its field's name.
    """
    at = at or timezone.now()
    account, key = (person, None) if isinstance(person, Account) else (person.account, str(person.key.pk))
    units = {Unit.INPUT_TOKEN: 12, Unit.OUTPUT_TOKEN: 8} if units is None else units
    pin = _price_book(at).find(model, upstream, account.currency)
    cost = charge(units, pin.rates if pin else {})
    upstream_cost = charge(units, pin.upstream_rates if pin else {})
    facts: dict[str, Any] = {
        "rid": str(call_id(at)),
        "account": str(account.pk),
        "period": BillingPeriod.containing(at).key,
        "key": key,
        "endpoint": "/v1/chat/completions",
        "task": "text-generation",
        "model": model,
        "upstream": upstream,
        "status": 200,
        "currency": account.currency,
        "price_version": pin.version_id if pin else None,
        "units": {unit.value: [quantity, cost.by_unit[unit]] for unit, quantity in units.items()},
        "nano": cost.nano,
        "upstream_nano": upstream_cost.nano,
        "latency_ms": 180,
    }
    return UsageReport(**facts | fields)


def _price_book(at: datetime) -> PriceBook:
    """Return the price book as of `at`, read once for the same rows: prices are added to and never edited.

    The ids of rows that were rolled back are not given out again, so the same ids are the same prices.
    """
    versions = PriceVersion.objects.filter(effective_from__lte=at).order_by("pk")
    newest = UnitPrice.objects.aggregate(newest=Max("pk"))["newest"]
    rows = (newest, *versions.values_list("pk", flat=True))
    if rows not in _price_books:
        _price_books[rows] = load_price_book(at)
    return _price_books[rows]


def make_failure(person: Person | Account, at: datetime | None = None, status: int = 502) -> UsageReport:
    """Return the report of a call that failed and is not charged."""
    return make_report(person, at, {}, status=status, error="upstream_error")


def record_calls(*reports: UsageReport) -> Recorded:
    """Put calls into the ledger and its totals, as the worker does."""
    recorded = record([(f"test:{report.rid}:{report.seq}", report.to_json()) for report in reports])
    catch_up()
    return recorded
