"""The screen of a person's own settings."""

from django.core import mail
from django.test import Client

from accounts.models import User
from tests.browsing import sign_in, text_of
from tests.factories import PASSWORD, Person


def test_alice_chooses_korean_and_every_page_speaks_it_from_then_on(alice: Person) -> None:
    client = sign_in(alice)
    answer = client.post("/settings/", {"name": "Alice Kim", "language": "ko"})
    assert (answer.status_code, answer["Location"]) == (302, "/settings/")
    assert User.objects.get(pk=alice.user.pk).language == "ko"
    assert '<html lang="ko"' in client.get("/keys/").content.decode()


def test_the_name_that_alice_gives_is_what_her_team_sees(alice: Person, charlie: Person) -> None:
    sign_in(alice).post("/settings/", {"name": "Alice Kim", "language": "en"})
    assert "Alice Kim" in text_of(sign_in(charlie, alice.account).get("/team/"))


def test_somebody_who_signs_up_in_korean_gets_mail_and_statements_in_korean(price_list: None) -> None:
    form = {"email": "minji@example.com", "password1": PASSWORD}
    Client(headers={"accept-language": "ko"}).post("/accounts/signup/", form)
    assert User.objects.get(email="minji@example.com").language == "ko"
    assert "확인" in mail.outbox[0].body or "코드" in mail.outbox[0].body


def test_saving_a_name_keeps_the_language_that_the_menu_switched_to(alice: Person) -> None:
    client = sign_in(alice)
    client.post("/i18n/setlang/", {"language": "ko"})
    assert '<option value="ko" selected>' in client.get("/settings/").content.decode()


def test_a_language_that_is_not_offered_is_refused(alice: Person) -> None:
    sign_in(alice).post("/settings/", {"name": "Alice", "language": "tlh"})
    assert User.objects.get(pk=alice.user.pk).language == "en"


def test_settings_need_a_sign_in(db: None) -> None:
    assert Client().get("/settings/")["Location"].startswith("/accounts/login/")


def test_a_change_without_the_csrf_token_is_refused(alice: Person) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice.user, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post("/settings/", {"name": "Mallory was here", "language": "en"}).status_code == 403
    assert User.objects.get(pk=alice.user.pk).name == "Alice"
