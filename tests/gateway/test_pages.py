"""The first pages: landing, "make your first call", the mail viewer at home."""

import json
import os
import re
import shlex
import time
from pathlib import Path

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from pytest_django import Settings

from accounts.keys import find_key
from accounts.models import ApiKey
from tests.browsing import sign_in, text_of
from tests.factories import CHAT_MODEL, Person, make_failure, make_report, record_calls

SECRET = re.compile(r"tp_live_[0-9A-Za-z]{27}_[0-9A-Za-z]{6}")


def without_keys(person: Person) -> Client:
    """Sign in as somebody who has just signed up."""
    ApiKey.objects.filter(account=person.account).delete()
    return sign_in(person)


def test_the_landing_page_shows_the_plans_of_the_database_to_anybody(price_list: None) -> None:
    text = text_of(Client().get("/"))
    for words in ("Free", "$9", "50,000 calls a month included", "Enterprise", "By agreement"):
        assert words in text
    assert "/v1/chat/completions" in text


def test_the_menu_leads_to_screens_and_not_to_the_api(alice: Person) -> None:
    page = sign_in(alice).get("/start/").content.decode()
    for address in ("/start/", "/keys/", "/usage/", "/billing/", "/team/", "/settings/"):
        assert f'class="rail-link" href="{address}"' in page
    assert 'href="/v1' not in page


def test_a_newcomer_is_led_through_three_steps(dave: Person) -> None:
    page = without_keys(dave).get("/start/")
    text = text_of(page)
    assert "Create a key" in text
    assert "Waiting for your first request" in text
    assert "$TURNPIKE_KEY" in text
    assert not SECRET.search(page.content.decode())


def test_the_key_made_here_is_shown_once_and_stands_in_every_snippet(dave: Person) -> None:
    client = without_keys(dave)
    made = client.post("/start/")
    (secret,) = set(SECRET.findall(made.content.decode()))
    key = find_key(secret)
    assert key is not None
    assert key.account == dave.account
    assert "no-store" in made["Cache-Control"]
    for snippet in made.context["snippets"]:
        assert secret in snippet["text"]
        assert CHAT_MODEL in snippet["text"]
        assert "http://127.0.0.1:8000/v1" in snippet["text"]
    assert not SECRET.search(client.get("/start/").content.decode())


def test_the_curl_line_is_one_command_with_a_json_body(dave: Person) -> None:
    curl = without_keys(dave).post("/start/").context["snippets"][0]["text"]
    command, address, *options = shlex.split(curl.replace("\\\n", " "))
    assert (command, address) == ("curl", "http://127.0.0.1:8000/v1/chat/completions")
    body = json.loads(options[options.index("-d") + 1])
    assert body["model"] == CHAT_MODEL
    assert body["messages"][0]["role"] == "user"


def test_the_python_snippets_are_python(dave: Person) -> None:
    for snippet in [
        *without_keys(dave).post("/start/").context["snippets"],
        *sign_in(dave).get("/start/").context["snippets"],
    ]:
        if snippet["label"].startswith("Python"):
            compile(snippet["text"], snippet["label"], "exec")


def test_the_waiting_panel_turns_into_a_success_card_when_the_first_call_comes(dave: Person) -> None:
    client = sign_in(dave)
    address = f"/start/result/?{client.get('/start/').context['waiting'].query}"
    assert client.get(address).status_code == 204
    report = make_report(dave)
    record_calls(report)
    answer = client.get(address)
    text = text_of(answer)
    assert answer.status_code == 200
    assert "Your call went through" in text
    assert "12 in, 8 out" in text
    assert "$0.00000056" in text  # 12 x $0.02 and 8 x $0.04 a million
    assert "180 ms" in text
    assert report.rid in text
    assert "Your call went through" in text_of(client.get("/start/"))


def test_a_failed_first_call_shows_what_to_do_and_goes_on_waiting(dave: Person) -> None:
    client = sign_in(dave)
    address = f"/start/result/?{client.get('/start/').context['waiting'].query}"
    record_calls(make_failure(dave, status=504))
    failed = client.get(address)
    assert "failed with 504" in text_of(failed)
    assert "Ask for fewer tokens" in text_of(failed)
    match = re.search(r'data-live="([^"]+)"', failed.content.decode())
    assert match
    onwards = match[1].replace("&amp;", "&")
    assert client.get(onwards).status_code == 204
    record_calls(make_report(dave))
    assert "Your call went through" in text_of(client.get(onwards))


def test_the_panel_stops_asking_after_a_while(dave: Person) -> None:
    client = sign_in(dave)
    late = client.get("/start/result/", {"after": "", "until": str(int(time.time()) - 1)})
    assert "No request has come in 15 minutes" in text_of(late)
    assert "data-live" not in late.content.decode()
    assert client.get("/start/result/", {"until": "when it comes"}).status_code == 200


def test_charlie_the_viewer_reads_whom_to_ask_for_a_key(alice: Person, charlie: Person) -> None:
    client = sign_in(charlie, alice.account)
    ApiKey.objects.filter(account=alice.account).delete()
    assert "mailto:alice@example.com" in client.get("/start/").content.decode()
    assert client.post("/start/").status_code == 403
    assert not ApiKey.objects.filter(account=alice.account).exists()


def test_nobody_gets_started_without_signing_in(db: None) -> None:
    assert Client().get("/start/")["Location"].startswith("/accounts/login/")
    assert Client().get("/start/result/").status_code == 302


@pytest.fixture
def mail_folder(settings: Settings, tmp_path: Path) -> Path:
    """Mail goes into files, as under `make run`."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path
    return tmp_path


def test_at_home_a_newcomer_finds_the_mail_with_the_code(mail_folder: Path, db: None) -> None:
    EmailMessage("Your code", "Enter 482913 <here>.\n\nTurnpike", None, ["dave@example.com"]).send()
    page = Client().get("/mail/")
    assert "Your code" in text_of(page)
    assert "482913 <here>" in text_of(page)
    assert "dave@example.com" in text_of(page)


def test_the_newest_mail_is_on_top(mail_folder: Path, db: None) -> None:
    for name, moment in (("older", 1_000), ("newer", 2_000)):
        file = mail_folder / f"{name}.log"
        file.write_text(f"Subject: {name}\nTo: a@example.com\n\ntext\n" + "-" * 79 + "\n")
        os.utime(file, (moment, moment))
    text = text_of(Client().get("/mail/"))
    assert text.index("newer") < text.index("older")


def test_a_file_that_is_no_mail_breaks_nothing(mail_folder: Path, db: None) -> None:
    (mail_folder / "broken.log").write_bytes(b"\xff\xfe not a mail")
    assert Client().get("/mail/").status_code == 200


def test_without_mail_the_page_says_how_to_get_some(mail_folder: Path, db: None) -> None:
    assert "No mail yet" in text_of(Client().get("/mail/"))


def test_in_production_there_is_no_mail_viewer_and_no_style_guide(settings: Settings, db: None) -> None:
    settings.LOCAL = False
    assert Client().get("/mail/").status_code == 404
    assert Client().get("/styleguide/").status_code == 404


def test_the_style_guide_shows_every_part(alice: Person) -> None:
    assert sign_in(alice).get("/styleguide/").status_code == 200
