"""Secrets at rest: sealed for one purpose, under versioned keys, and seen nowhere else."""

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import Account
from accounts.vault import open_sealed, seal
from gateway.catalog import load_catalog, server_of
from gateway.models import Dialect, Upstream
from tests.factories import Person

TOKEN = "hf_erins-own-token-0123456789"


@pytest.fixture
def keys(settings: Settings) -> Settings:
    """Two encryption keys, the newer one in use."""
    settings.ENCRYPTION_KEYS = {1: b"the-first-encryption-key", 2: b"the-second-encryption-key"}
    return settings


def erins_endpoint(account: Account, **fields: object) -> Upstream:
    """An Enterprise account's own endpoint with its token."""
    upstream = Upstream(
        slug="erins", name="Erin's", dialect=Dialect.TGI, base_url="https://tgi.example", account=account
    )
    for name, value in fields.items():
        setattr(upstream, name, value)
    upstream.set_secret(TOKEN)
    upstream.save()
    return upstream


def test_what_is_sealed_opens_again_and_shows_nothing_of_itself(keys: Settings) -> None:
    sealed = seal(TOKEN, "erins")
    assert open_sealed(sealed, "erins") == TOKEN
    assert TOKEN.encode() not in sealed
    assert seal(TOKEN, "erins") != sealed  # the same token twice does not look the same


def test_a_secret_copied_onto_another_upstream_does_not_open(keys: Settings) -> None:
    with pytest.raises(ValueError, match="sealed for something else"):
        open_sealed(seal(TOKEN, "erins"), "mallorys")


@pytest.mark.parametrize("place", [1, 13, -1])
def test_a_damaged_secret_does_not_open(keys: Settings, place: int) -> None:
    sealed = bytearray(seal(TOKEN, "erins"))
    sealed[place] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        open_sealed(bytes(sealed), "erins")


def test_an_older_key_still_opens_and_the_newest_seals(keys: Settings) -> None:
    both = dict(keys.ENCRYPTION_KEYS)
    keys.ENCRYPTION_KEYS = {1: both[1]}
    old = seal(TOKEN, "erins")
    keys.ENCRYPTION_KEYS = both
    assert open_sealed(old, "erins") == TOKEN
    new = seal(TOKEN, "erins")
    assert (old[0], new[0]) == (1, 2)
    keys.ENCRYPTION_KEYS = {1: both[1]}
    with pytest.raises(ValueError, match="needs encryption key 2"):
        open_sealed(new, "erins")


def test_the_table_holds_only_what_is_sealed(alice: Person) -> None:
    erins_endpoint(alice.account)
    row = Upstream.objects.get(slug="erins")
    assert TOKEN.encode() not in bytes(row.sealed_secret)
    assert row.secret() == TOKEN
    assert server_of(row).secret == TOKEN


def test_no_words_about_an_upstream_have_its_secret(alice: Person) -> None:
    row = erins_endpoint(alice.account)
    for words in (str(row), repr(row), repr(server_of(row)), str(server_of(row)), repr(load_catalog())):
        assert TOKEN not in words


def test_the_installations_token_never_goes_to_a_customers_address(alice: Person, settings: Settings) -> None:
    settings.HF_TOKEN = "hf_the-installations-own"
    theirs = erins_endpoint(alice.account, dialect=Dialect.HF_ROUTER, base_url="https://mallory.example")
    theirs.set_secret("")
    assert server_of(theirs).secret == ""
    theirs.base_url = ""
    assert server_of(theirs).secret == ""  # a customer without a token does not call on ours
    ours = Upstream(slug="hf-router", name="Router", dialect=Dialect.HF_ROUTER)
    assert server_of(ours).secret == settings.HF_TOKEN
    ours.base_url = "https://mallory.example"
    assert server_of(ours).secret == ""


def test_the_admins_pages_have_no_trace_of_it(alice: Person, olivia: Client) -> None:
    row = erins_endpoint(alice.account)
    pages = [f"/admin/gateway/upstream/{row.pk}/change/", "/admin/gateway/upstream/"]
    for page in [*pages, f"/admin/gateway/upstream/{row.pk}/history/"]:
        text = olivia.get(page).content.decode()
        assert "Erin" in text
        assert TOKEN not in text
        assert bytes(row.sealed_secret).hex() not in text
