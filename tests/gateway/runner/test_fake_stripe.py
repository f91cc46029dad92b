"""`make run STRIPE=fake`: Dana tries payments without Stripe."""

import json
import os
import urllib.request
from pathlib import Path

import pytest

from gateway.runner import fake_stripe, preflight
from gateway.runner.environment import make_plan, write_run_env
from gateway.runner.session import programs_of
from tests.gateway.runner.session import Session
from tests.processes import any_port


def given(var: Path, **more: str) -> dict[str, str]:
    """Dana's environment."""
    return {"TURNPIKE_VAR": str(var), "PATH": os.environ["PATH"], **more}


def test_without_being_asked_for_there_is_no_fake(tmp_path: Path) -> None:
    plan = make_plan(given(tmp_path))
    assert "stripe" not in programs_of(plan)
    assert "STRIPE_API_BASE" not in plan.env


def test_every_process_is_told_where_the_fake_is_even_if_dana_has_a_real_key(tmp_path: Path) -> None:
    plan = make_plan(given(tmp_path, STRIPE="fake", STRIPE_SECRET_KEY="sk_live_danas"))
    assert plan.env["STRIPE_SECRET_KEY"] == "sk_test_fake"
    assert plan.env["STRIPE_API_BASE"].startswith("http://127.0.0.1:")
    assert f"{plan.url}/webhooks/stripe" in programs_of(plan)["stripe"].argv


def test_a_second_terminal_meets_the_same_fake(tmp_path: Path) -> None:
    plan = make_plan(given(tmp_path, STRIPE="fake"))
    write_run_env(plan)
    kept = dict(line.split("=", 1) for line in (tmp_path / "run.env").read_text().splitlines())
    assert kept["STRIPE_API_BASE"] == plan.env["STRIPE_API_BASE"]


def test_without_the_folder_of_tests_dana_hears_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_stripe, "ROOT", tmp_path)
    (problem,) = preflight.problems(make_plan(given(tmp_path / "var", STRIPE="fake", PORT=str(any_port()))))
    assert "tests/" in problem


def test_another_word_than_fake_is_not_guessed_at(tmp_path: Path) -> None:
    (problem,) = preflight.problems(make_plan(given(tmp_path, STRIPE="real", PORT=str(any_port()))))
    assert "STRIPE=real means nothing" in problem


@pytest.mark.model
@pytest.mark.timeout(300)
def test_dana_is_told_that_it_is_a_fake_and_it_remembers_until_the_next_start(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    session = Session(tmp_path_factory.mktemp("fake") / "var", any_port(), STRIPE="fake")
    session.start()
    try:
        said = session.said()
        assert "Stripe is a FAKE" in said
        url = next(word for word in said.split() if word.endswith("/_fake/"))
        request = urllib.request.Request(url + "advance", data=json.dumps({"days": 31}).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            later = json.load(answer)["now"]
    finally:
        assert session.stop() == 0
    kept = json.loads((session.var / "fake-stripe.json").read_text())
    assert kept["offset"] >= 31 * 86_400 - 60
    assert later > kept["offset"]
