"""Staff keep the upstreams: where they may be, whose they are, and tokens that go in and never come out."""

import asyncio
import socket
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from pytest_django import Settings

from accounts.addresses import is_public
from gateway.addresses import check_address, public_socket
from gateway.catalog import Server, load_catalog
from gateway.errors import Refusal
from gateway.models import CatalogChange, CatalogModel, Dialect, Serving, Upstream
from gateway.seeding import seed_catalog
from gateway.upstream import Upstreams
from tests.browsing import staff_browser, text_of
from tests.factories import Person
from tests.gateway.staff import address
from tests.live import FakeUpstream

TOKEN = "hf_erins-own-token-0123456789"


def form(**fields: Any) -> dict[str, Any]:
    """What Olivia fills in for a new upstream."""
    return {
        "slug": "erins-tgi", "name": "Erin's TGI", "dialect": "tgi", "base_url": "https://tgi.example", "account": "",
        "enabled": "on", "position": "5", "silence_seconds": "60", "total_seconds": "600", "hourly_nano_cost": "",
        "new_secret": "", "bill_to": "",
    } | fields  # fmt: skip


def saved(browser: Client, page: str, **fields: Any) -> str:
    """Send the form and return the page that follows."""
    return text_of(browser.post(page, form(**fields), follow=True))


def add(browser: Client, **fields: Any) -> Upstream:
    """Add an upstream through the admin."""
    said = saved(browser, address(Upstream, "add"), **fields)
    assert "added successfully" in said, said
    return Upstream.objects.get(slug="erins-tgi")


# --- Tokens ------------------------------------------------------------------------------------------------


def test_olivia_gives_alice_an_endpoint_of_her_own_with_its_token(olivia: Client, alice: Person) -> None:
    row = add(olivia, new_secret=TOKEN, account=str(alice.account.pk))
    assert row.secret() == TOKEN
    assert row.account == alice.account
    assert TOKEN not in str(list(LogEntry.objects.values()))
    assert TOKEN not in olivia.get(address(row)).content.decode()


def test_an_empty_field_keeps_the_token_a_filled_one_replaces_it_and_the_switch_removes_it(
    olivia: Client,
) -> None:
    row = add(olivia, new_secret=TOKEN)
    saved(olivia, address(row), name="Renamed")
    row.refresh_from_db()
    assert (row.name, row.secret()) == ("Renamed", TOKEN)
    saved(olivia, address(row), new_secret="another-token")
    row.refresh_from_db()
    assert row.secret() == "another-token"
    saved(olivia, address(row), remove_secret="on")
    row.refresh_from_db()
    assert row.secret() == ""


def test_a_token_does_not_move_to_another_address_by_itself(olivia: Client) -> None:
    row = add(olivia, new_secret=TOKEN)
    said = saved(olivia, address(row), base_url="https://mallory.example")
    assert "belongs to the old address" in said
    row.refresh_from_db()
    assert row.base_url == "https://tgi.example"
    saved(olivia, address(row), base_url="https://new.example", new_secret="for-new")
    row.refresh_from_db()
    assert (row.base_url, row.secret()) == ("https://new.example", "for-new")


def test_the_code_is_fixed_and_nobody_deletes_an_upstream(olivia: Client) -> None:
    row = add(olivia, new_secret=TOKEN)
    saved(olivia, address(row), slug="another")
    row.refresh_from_db()
    assert (row.slug, row.secret()) == ("erins-tgi", TOKEN)
    assert olivia.post(address(row, "delete"), {"post": "yes"}).status_code == 403


def test_sam_who_may_only_look_sees_that_there_is_a_token_and_cannot_probe(olivia: Client) -> None:
    row = add(olivia, new_secret=TOKEN)
    sam = staff_browser("Sam", "gateway.view_upstream")
    page = text_of(sam.get(address(row)))
    assert "Set" in page
    assert "Send a test request" not in page
    assert sam.get(f"/admin/gateway/upstream/{row.pk}/probe/").status_code == 403
    assert sam.post(address(row), form(name="Sam's")).status_code == 403


# --- Addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://tgi.example", "Use https://"),
        ("https://olivia:secret@tgi.example", "Leave name and password out"),
        ("https://tgi.example/?token=x", "Leave out everything from the ?"),
        ("ftp://tgi.example", "This is no address"),
        ("https://", "This is no address"),
        ("https://tgi.example:99999", "This is no address"),
        ("https://127.0.0.1:8100", "is a private address"),
        ("https://localhost", "is a private address"),
        ("https://10.0.0.7", "is a private address"),
        ("https://169.254.169.254/latest", "is a private address"),
        ("https://[::1]", "is a private address"),
        ("https://[::ffff:10.0.0.7]", "is a private address"),
        ("https://2130706433", "is a private address"),  # 127.0.0.1 as one number
        ("https://no-such-host.invalid", "There is no host"),
    ],
)
def test_an_address_that_cannot_be_an_upstreams_is_refused_in_words(
    settings: Settings, url: str, words: str
) -> None:
    settings.ALLOW_PRIVATE_UPSTREAMS = False
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        check_address(url)


def test_public_addresses_pass_and_private_ones_where_the_operator_allows_them(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_UPSTREAMS = False
    check_address("https://1.1.1.1/v1")
    settings.ALLOW_PRIVATE_UPSTREAMS = True
    check_address("http://10.0.0.7:8080")
    with pytest.raises(ValueError, match="Leave name and password out"):
        check_address("http://olivia:secret@10.0.0.7")


@pytest.mark.parametrize(
    ("found", "public"),
    [
        ("8.8.8.8", True), ("2606:4700:4700::1111", True), ("192.168.1.1", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("fe80::1%eth0", False), ("fd00::1", False),
        ("::ffff:127.0.0.1", False), ("2002:7f00:1::", False), ("64:ff9b::7f00:1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_on_the_open_internet(found: str, public: bool) -> None:
    assert is_public(found) is public


def test_the_admin_says_what_is_wrong_with_an_address(olivia: Client, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_UPSTREAMS = False
    said = saved(olivia, address(Upstream, "add"), base_url="https://192.168.0.9")
    assert "192.168.0.9 is a private address" in said
    assert not Upstream.objects.filter(slug="erins-tgi").exists()


def server_at(url: str, account: str | None = None) -> Server:
    """An upstream as a call sees it."""
    return Server("x", Dialect.TGI, url, TOKEN, "", account, 1, 5, 5)


def probe(server: Server) -> int:
    """Probe it and return the status."""

    async def run() -> int:
        client = Upstreams()
        try:
            return (await client.probe(server))[0]
        finally:
            await client.close()

    return asyncio.run(run())


def test_a_customers_upstream_that_leads_inside_is_not_connected_to(
    settings: Settings, upstream: FakeUpstream
) -> None:
    settings.ALLOW_PRIVATE_UPSTREAMS = False
    assert probe(server_at(upstream.url)) == 200  # the operator's own may be anywhere
    named = upstream.url.replace("127.0.0.1", "localhost")
    for url in (upstream.url, named):
        with pytest.raises(Refusal, match="it cannot be reached"):
            probe(server_at(url, account="alice"))
    settings.ALLOW_PRIVATE_UPSTREAMS = True
    assert probe(server_at(upstream.url, account="alice")) == 200


def test_the_check_is_made_on_the_address_that_is_dialled(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_UPSTREAMS = False
    inside = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))
    with pytest.raises(PermissionError):
        public_socket(inside)
    outside = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))
    public_socket(outside).close()


# --- The test request --------------------------------------------------------------------------------------


def test_olivia_sends_a_test_request_and_reads_what_came_back(olivia: Client, upstream: FakeUpstream) -> None:
    row = add(olivia, new_secret=TOKEN, base_url=upstream.url)
    said = olivia.get(f"/admin/gateway/upstream/{row.pk}/probe/", follow=True)
    assert "It answered 200 in" in text_of(said)
    assert TOKEN not in said.content.decode()


def test_a_test_request_that_nobody_answers_says_so(olivia: Client) -> None:
    row = add(olivia, base_url="http://127.0.0.1:9")
    said = text_of(olivia.get(f"/admin/gateway/upstream/{row.pk}/probe/", follow=True))
    assert "No answer" in said
    assert "it cannot be reached" in said


# --- Ways and changes --------------------------------------------------------------------------------------


def test_olivia_lists_a_model_at_a_dedicated_endpoint(olivia: Client, alice: Person) -> None:
    row = add(olivia, new_secret=TOKEN)
    fields = {"model_id": "own/model", "tasks": "conversational", "context_length": "4096", "licence": "mit"}
    way = {"upstream": str(row.pk), "provider": "", "provider_id": "", "task": "", "status": "live"}
    fields |= {f"servings-0-{name}": value for name, value in way.items()}
    fields |= {"servings-TOTAL_FORMS": "1", "servings-INITIAL_FORMS": "0", "servings-0-context_length": ""}
    said = text_of(olivia.post(address(CatalogModel, "add"), fields, follow=True))
    assert "added successfully" in said, said
    assert [way.name for way in load_catalog().find("own/model").ways] == ["erins-tgi"]


def test_changes_and_ways_are_not_removed(olivia: Client) -> None:
    seed_catalog()
    change, way = CatalogChange.objects.first(), Serving.objects.first()
    assert change
    assert way
    assert olivia.post(address(change), {"what": "nothing"}).status_code == 403
    for row in (change, way):
        assert olivia.post(address(row, "delete"), {"post": "yes"}).status_code == 403
