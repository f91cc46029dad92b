"""Allow-lists of keys and accounts: models, tasks, addresses. Empty means all."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import Account, ApiKey
from accounts.restrictions import Restrictions, read_address, read_networks
from tests.factories import Person

NOTHING = Restrictions("key")


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        ((), "any/thing", True),
        (("meta-llama/*",), "meta-llama/Llama-3.1-8B-Instruct", True),
        (("meta-llama/*",), "meta-llama-evil/Llama", False),
        (("meta-llama/*",), "not-meta-llama/x", False),
        (("gpt2",), "gpt2", True),
        (("gpt2",), "gpt2-xl", False),
        (("*/Qwen*",), "Qwen/Qwen3-4B", True),
        (("a.b/c",), "axb/c", False),  # a dot is a dot
        (("other/model", "gpt2"), "gpt2", True),
        (("Meta-Llama/*",), "meta-llama/x", False),  # ids have their case
    ],
)
def test_models_by_id_or_pattern(patterns: tuple[str, ...], model: str, allowed: bool) -> None:
    assert Restrictions("key", models=patterns).allows_model(model) is allowed


def test_tasks_by_name() -> None:
    only_text = Restrictions("key", tasks=("text-generation",))
    assert only_text.allows_task("text-generation")
    assert not only_text.allows_task("text-to-image")
    assert NOTHING.allows_task("text-to-image")


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ([], None, True),
        (["192.0.2.0/24"], "192.0.2.200", True),
        (["192.0.2.0/24"], "192.0.3.1", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.5", True),  # the same address, in a dual-stack socket's words
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "192.0.2.1", False),
        (["192.0.2.0/24"], None, False),  # not known is not allowed
        (["192.0.2.0/24"], "unknown", False),
        (["fe80::/10"], "fe80::1%eth0", True),
    ],
)
def test_addresses_by_range(networks: list[str], address: str | None, allowed: bool) -> None:
    assert Restrictions("key", networks=read_networks(networks)).allows_address(address) is allowed


def test_an_empty_text_is_no_address() -> None:
    assert read_address("") is None


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("allowed_models", ["a b"], "is no model"),
        ("allowed_models", ["a/b/c"], "is no model"),
        ("allowed_models", "meta-llama/*", "Write a list"),
        ("allowed_models", [1], "Write a list"),
        ("allowed_models", ["m"] * 201, "at most 200"),
        ("allowed_tasks", ["Text Generation"], "is no task"),
        ("allowed_networks", ["10.0.0.1/8"], "is no address range"),  # host bits: which did they mean?
        ("allowed_networks", ["example.com"], "is no address range"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_in_words(
    alice: Person, field: str, value: Any, says: str
) -> None:
    key = ApiKey.objects.get(pk=alice.key.pk)
    setattr(key, field, value)
    with pytest.raises(ValidationError, match=says):
        key.full_clean()


def test_a_time_zone_is_iana_s_name_for_it(alice: Person) -> None:
    account = Account.objects.get(pk=alice.account.pk)
    account.time_zone = "Asia/Seoul"
    account.full_clean()
    account.time_zone = "KST"
    with pytest.raises(ValidationError, match="is no time zone"):
        account.full_clean()
