"""The people in the tests' sentences. The engines under them are real: `tests/engines.py` starts them."""

from collections.abc import Iterator

import pytest
from django.test import Client
from django.utils import translation

from accounts.keys import revoke_key
from accounts.models import Role
from tests.browsing import join, staff_browser
from tests.factories import Person, make_person
from tests.seeds import put_price_list

pytest_plugins = ["tests.live", "tests.fakes.stripe.fixtures", "tests.clients.matrix", "tests.order"]


@pytest.fixture(autouse=True)
def _no_language_left_behind() -> Iterator[None]:
    """A request in Korean leaves its language in the thread; the next test starts in English."""
    with translation.override("en"):
        yield


@pytest.fixture
def price_list(db: None) -> None:
    """The plans and the price book out of the box."""
    put_price_list()


@pytest.fixture
def alice(price_list: None) -> Person:
    """Alice is on Pro."""
    return make_person("Alice", "pro")


@pytest.fixture
def bob(price_list: None) -> Person:
    """Bob is on Free."""
    return make_person("Bob")


@pytest.fixture
def mallory(price_list: None) -> Person:
    """Mallory's key is revoked."""
    person = make_person("Mallory")
    revoke_key(person.key)
    return person


@pytest.fixture
def charlie(alice: Person) -> Person:
    """Charlie may only look at Alice's account."""
    person = make_person("Charlie")
    join(person, alice.account, Role.VIEWER)
    return person


@pytest.fixture
def dave(price_list: None) -> Person:
    """Dave has an account of his own and nothing to do with the others."""
    return make_person("Dave")


@pytest.fixture
def olivia(price_list: None) -> Client:
    """Olivia operates the installation: a superuser's browser, signed in."""
    return staff_browser("Olivia", is_superuser=True)
