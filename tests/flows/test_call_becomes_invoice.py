"""The whole story once, on real engines and the real model: a call becomes a row, a total, a statement, a PDF."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from pypdf import PdfReader

from billing.invoicing import close_period
from billing.models import Statement, UsageEvent, UsageHour, UsagePeriod
from billing.money import Money
from billing.payments import payment_provider
from billing.pdf import statement_pdf
from billing.period import BillingPeriod
from tests.factories import Person
from tests.live import Process, Web, eventually, open_holds, used

pytestmark = pytest.mark.model


def test_alices_call_becomes_her_invoice(
    model_web: Web, background: dict[str, Process], person: Callable[..., Person]
) -> None:
    alice = person("Alice", "pro")
    period = BillingPeriod.containing(timezone.now())

    # The call: text from a real model.
    answer = model_web.chat(alice, "What is the capital of France?", max_tokens=24, temperature=0)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["choices"][0]["message"]["content"].split()) >= 3
    usage = answer.json()["usage"]
    nano = usage["prompt_tokens"] * 20 + usage["completion_tokens"] * 40
    assert answer.headers["x-turnpike-cost"] == f"0.{nano:09d} USD"

    # The ledger and its totals, by Celery.
    eventually(lambda: UsagePeriod.objects.filter(account=alice.account).exists(), "the roll-up is there")
    event = UsageEvent.objects.get(account=alice.account)
    assert str(event.request_id) == answer.headers["x-request-id"]
    hour = UsageHour.objects.get(account=alice.account)
    total = UsagePeriod.objects.get(account=alice.account)
    assert event.nano_cost == hour.nano_cost == total.nano_cost == nano
    assert used(alice, period.key) == {"calls": 1, "nano": nano, "held_calls": 0, "held_nano": 0}

    # The statement: $9.00 for the plan, the usage far below a cent.
    statement = close_period(alice.account, period, until=timezone.now())
    assert statement is not None
    assert statement.total_minor == Money.of("9.00").minor
    usage_lines = statement.lines.filter(kind="usage")
    assert sum(line.nano_amount for line in usage_lines) == nano
    assert close_period(alice.account, period, until=timezone.now()) in (None, statement)

    # Issued by hand, since there is no payment provider, with a PDF.
    payment_provider().issue(statement)
    statement.refresh_from_db()
    assert statement.state == Statement.State.FINALIZED
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(statement_pdf(statement))).pages)
    assert statement.number is not None
    assert statement.number in text
    assert "9.00" in text


def test_a_streamed_chat_from_the_real_model_shows_its_tokens(
    model_web: Web, person: Callable[..., Person]
) -> None:
    alice = person("Alice", "pro")
    answer = model_web.chat(alice, "Count to five.", max_tokens=24, stream=True, temperature=0)
    events: list[Any] = [line for line in answer.text.splitlines() if line.startswith("data:")]
    assert events[-1] == "data: [DONE]"
    assert len(events) > 5
    eventually(lambda: open_holds() == 0, "no hold is open")
