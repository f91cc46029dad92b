"""Every client, every feature, every case. `make test` runs the clients of our own venv and curl.

The others bring packages of their own: `python -m tests.clients` runs them all.
"""

import json
import os
import urllib.request
from collections.abc import Callable

import pytest

from tests.clients import matrix
from tests.clients.cells import Cell, cells_of
from tests.clients.world import World, check_that_keys_stayed_apart

CELLS = [cell for client in matrix.selected() for cell in cells_of(client)]
_seen: list[str] = []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_client_shows_its_answer_or_our_words(
    cell: Cell, shown: Callable[[Cell], str], record_property: Callable[[str, object], None]
) -> None:
    text = shown(cell)
    _seen.append(text)
    verdict = cell.verdict(text)
    record_property("cell", (cell.client.name, cell.feature, cell.case, verdict))
    assert not verdict, verdict


def test_no_customers_key_reached_the_upstream_and_its_token_reached_nobody(clients_world: World) -> None:
    with urllib.request.urlopen(clients_world.fake_url + "/seen", timeout=10) as answer:
        check_that_keys_stayed_apart(clients_world, json.load(answer), _seen)


def test_the_whole_matrix_is_asked_for_by_the_command() -> None:
    wanted = os.environ.get("TURNPIKE_CLIENTS")
    assert CELLS, f"TURNPIKE_CLIENTS={wanted!r} names no client. Names: python -m tests.clients --list"
