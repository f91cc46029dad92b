"""The annex: every call of a statement as CSV, adding up to its lines to the nano-unit."""

import csv
import io
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from billing import annex
from billing.annex import COLUMNS, header, pages
from billing.invoicing import close_period
from billing.models import Statement
from billing.payments import payment_provider
from billing.pricing import Unit
from tests.billing.people import PERIOD
from tests.browsing import sign_in
from tests.factories import EMBEDDING_MODEL, Person, make_failure, make_report, record_calls


@pytest.fixture
def statement(alice: Person) -> Statement:
    """Seven calls of Alice's to two models, one of which failed."""
    record_calls(
        *[
            make_report(alice, PERIOD.start, {Unit.INPUT_TOKEN: 1001 * n, Unit.OUTPUT_TOKEN: 7})
            for n in range(1, 6)
        ],
        make_report(alice, PERIOD.start, {Unit.INPUT_TOKEN: 333}, model=EMBEDDING_MODEL),
        make_failure(alice, PERIOD.start),
    )
    frozen = close_period(alice.account, PERIOD)
    assert frozen
    return payment_provider().issue(frozen)


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_calls_add_up_to_the_lines(statement: Statement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annex, "CALLS_AT_ONCE", 2)  # several pages
    rows = _rows(header() + "".join(pages(statement)))
    assert len(rows) == 7
    lines = statement.lines.filter(kind="usage")
    assert lines.count() == 3
    for line in lines:
        mine = [
            row
            for row in rows
            if (row["model"], row["price_version"]) == (line.model, f"p{line.price_version_id}")
        ]
        assert sum(int(row[f"{line.unit}_nano"] or 0) for row in mine) == line.nano_amount
        assert sum(int(row[f"{line.unit}_quantity"] or 0) for row in mine) == line.quantity
    assert sum(int(row["nano_cost"]) for row in rows) == sum(line.nano_amount for line in lines)


def test_every_column_of_a_call_is_there(statement: Statement) -> None:
    row = _rows(header() + "".join(pages(statement)))[0]
    assert tuple(row) == COLUMNS
    assert {"request_id", "occurred_at", "endpoint", "status", "latency_ms"} <= set(row)


def test_the_command_writes_the_file(statement: Statement, tmp_path: Path) -> None:
    call_command("statement_annex", statement.number, "--out", str(tmp_path / "annex.csv"))
    out = StringIO()
    call_command("statement_annex", statement.number, stdout=out)
    assert (
        (tmp_path / "annex.csv").read_bytes().decode()
        == out.getvalue()
        == header() + "".join(pages(statement))
    )


def test_a_statement_that_is_not_there_exits_with_2(db: None) -> None:
    with pytest.raises(CommandError, match="No statement has the number") as refused:
        call_command("statement_annex", "TP-2026-999999")
    assert refused.value.returncode == 2


def test_bob_cannot_read_alices_calls(statement: Statement, bob: Person, client: Client) -> None:
    url = f"/billing/statements/{statement.pk}/calls.csv"
    assert sign_in(bob).get(url).status_code == 404
    assert client.get(url).status_code == 302


def test_alice_downloads_it(statement: Statement, alice: Person) -> None:
    answer = sign_in(alice).get(f"/billing/statements/{statement.pk}/calls.csv")
    assert answer["Content-Disposition"] == f'attachment; filename="{statement.number}-calls.csv"'
    assert answer["Content-Type"].startswith("text/csv")
    assert answer.streaming
