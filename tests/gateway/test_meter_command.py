"""`manage.py meter`: how the meter is, and the bound of what an account may pass its limits by while it is away."""

import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.factories import Person


def said(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    """Run the command and return its line."""
    call_command("meter", **options)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.usefixtures("db")
def test_the_bound_is_processes_times_the_lease(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.METER_LEASE_CALLS, settings.METER_LEASE_MINOR_UNITS = 50, 20
    found = said(capsys, processes=3)
    assert found["meter"] == "ok"
    assert found["bound"] == {"calls": 150, "minor_units": 60}


def test_alices_own_bound_and_bobs(alice: Person, bob: Person, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, account=str(alice.account.pk), processes=2)["bound"] == {
        "calls": 1_200,
        "nano": 2_000_000_000,
    }
    assert said(capsys, account=str(bob.account.pk), processes=2)["bound"] == {"calls": 0, "nano": 0}


@pytest.mark.usefixtures("db")
def test_without_the_meter_the_bound_is_printed_all_the_same(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.METER_REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(CommandError) as failure:
        call_command("meter")
    assert failure.value.returncode == 2
    assert json.loads(capsys.readouterr().out)["bound"]["calls"] == settings.METER_LEASE_CALLS


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("account", ["nobody", "01a209c3-0000-7000-8000-000000000000"])
def test_an_account_that_is_not_there_is_said_so(account: str) -> None:
    with pytest.raises(CommandError, match="There is no account"):
        call_command("meter", account=account)
